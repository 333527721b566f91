-- Rows that are probably deleted in the API: no run has read them for 31 days, which is `reread_days` and a night without
-- a run. Where every run is FULL_TABLE, write '0 days': whatever the last run did not read.
WITH loaded AS (
    SELECT 'charges' AS "table", charge_id AS key, to_timestamp(_sdc_sync_started_at / 1000.0) AS last_read FROM charges
    UNION ALL
    SELECT 'customers', customer_id, to_timestamp(_sdc_sync_started_at / 1000.0) FROM customers
    UNION ALL
    SELECT 'products', product_id, to_timestamp(_sdc_sync_started_at / 1000.0) FROM products
    UNION ALL
    SELECT 'subscriptions', subscription_id, to_timestamp(_sdc_sync_started_at / 1000.0) FROM subscriptions
), runs AS (
    SELECT *, max(last_read) OVER (PARTITION BY "table") AS last_run FROM loaded
)
SELECT "table", key, date_trunc('second', last_read) AS last_read
FROM runs
WHERE runs.last_read < last_run - interval '31 days'
ORDER BY 3, 1, 2;
