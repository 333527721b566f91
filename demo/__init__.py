"""The demo: a made-up account goes through Meltano into PostgreSQL."""
