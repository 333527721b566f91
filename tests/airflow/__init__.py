"""The DAG of `orchestrate/`, in a real Airflow: `make test-airflow`."""
