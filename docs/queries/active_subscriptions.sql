-- Active subscriptions by product, interval and currency, and what they bill each interval.
SELECT coalesce(products.name, subscriptions.product_id) AS product,
       subscriptions.interval,
       subscriptions.currency,
       count(*) AS active,
       sum(subscriptions.amount) AS amount
FROM subscriptions
LEFT JOIN products USING (product_id)
WHERE subscriptions.status IN ('active', 'trialing')
GROUP BY 1, 2, 3
ORDER BY active DESC, 1, 2, 3;
