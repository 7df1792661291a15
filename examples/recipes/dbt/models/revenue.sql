select customer, count(*) as orders, sum(amount_cents) as cents
from {{ source('shop', 'raw_orders') }}
group by customer
