-- Is everything there? `last_run` counts the rows that the last run of each table wrote: as many as that run's summary has
-- records. A record that was sent twice, which is allowed, counts once here and twice in the summary.
WITH loaded AS (
    SELECT 'charges' AS "table", _sdc_sync_started_at AS run FROM charges
    UNION ALL
    SELECT 'customers', _sdc_sync_started_at FROM customers
    UNION ALL
    SELECT 'products', _sdc_sync_started_at FROM products
    UNION ALL
    SELECT 'subscriptions', _sdc_sync_started_at FROM subscriptions
), runs AS (
    SELECT *, max(run) OVER (PARTITION BY "table") AS newest FROM loaded
)
SELECT "table",
       date_trunc('second', to_timestamp(max(run) / 1000.0)) AS began,
       count(*) FILTER (WHERE run = newest) AS last_run,
       count(*) AS rows
FROM runs
GROUP BY "table"
ORDER BY "table";
