-- Revenue by month and currency: what was paid, less what was refunded since. Months are those of UTC.
SELECT to_char(to_timestamp(occurred::bigint) AT TIME ZONE 'UTC', 'YYYY-MM') AS month,
       currency,
       sum(amount - coalesce(amount_refunded, 0)) AS revenue
FROM charges
WHERE is_paid
GROUP BY month, currency
ORDER BY month, currency;
