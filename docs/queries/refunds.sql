-- Refunds by currency: how many of the paid charges were refunded, in whole or in part, and how much of the money.
SELECT currency,
       count(*) AS paid,
       count(*) FILTER (WHERE amount_refunded > 0) AS refunded,
       round(100.0 * count(*) FILTER (WHERE amount_refunded > 0) / count(*), 1) AS percent,
       sum(coalesce(amount_refunded, 0)) AS amount_refunded
FROM charges
WHERE is_paid
GROUP BY currency
ORDER BY currency;
