"""Made-up lists of an account, the same for the same seed, newest first, with every field that the schemas declare.

A field that nothing is said of here has the default of its type. A list that has no maker is made of defaults, its key
and its time.
"""

from __future__ import annotations

import time
from functools import cache, cached_property
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_payments.records.schema import MONEY_FORMAT, SCHEMAS
from tests.fake_api.providers import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

Record = dict[str, Any]

START = 1_577_836_800  # 2020-01-01T00:00:00Z
END = 1_735_689_600  # 2025-01-01T00:00:00Z
DAY = 86_400
EMPTY_METADATA_EVERY = 3

# Code, sign, and how many decimals the amounts have.
CURRENCIES = [("EUR", "€", 2), ("USD", "$", 2), ("GBP", "£", 2), ("JPY", "¥", 0), ("PLN", "zł", 2), ("SEK", "kr", 2)]
CURRENCIES += [("KWD", "د.ك", 3)]
FIRST_NAMES = [
    *("Łukasz", "Zoë", "Ünal", "北京", "Amélie", "Noor", "Søren", "Chloé", "Jürgen", "さくら", "Олена", "Ana", "Rafał"),
    *("Mehmet", "José", "Grace", "Nguyễn", "Björk", "Siân", "علي", "Priya", "D'Arcy", "Tomáš", "Ιωάννα"),
]
LAST_NAMES = [
    *("Kowalski", "O'Neill", "Öztürk", "王", "Müller", "García", "Ångström", "Dvořák", "田中", "Шевченко", "Smith"),
    *("Papadopoulos", "Øster", "Lefèvre", "van den Berg", "Trần", "Jónsdóttir", "Brontë", "حسن", "Patel", "Quist"),
]
COUNTRIES = [
    *(("PL", "Poland"), ("IE", "Ireland"), ("TR", "Türkiye"), ("CN", "China"), ("DE", "Germany"), ("ES", "Spain")),
    *(("CZ", "Czechia"), ("JP", "Japan"), ("UA", "Ukraine"), ("US", "United States"), ("CI", "Côte d'Ivoire")),
]
DOMAINS = ["example.com", "example.net", "example.org", "mail.example", "post.example"]
CITIES = ["Kraków", "Galway", "İzmir", "München", "Málaga", "Malmö", "Plzeň", "京都", "Львів", "Abidjan"]
PLANS = ["Starter", "Team", "Business", "Agency", "Café & Co.", "Größe L", "標準プラン", 'The "Big" one']
INTERVALS = [("month", "1", "Monthly"), ("year", "1", "Yearly"), ("week", "2", "Every 2 weeks"), ("day", "1", "Daily")]
BRANDS = ["Visa", "Mastercard", "American Express", "SEPA", "iDEAL"]
BANKS = ["Bank Polski", "Crédit du Nord", "Sparkasse Köln", "First Example Bank", "みほん銀行"]
FAILURES = ["Your card was declined.", "Insufficient funds.", "The card has expired.", "Carte refusée par la banque."]
METHODS = ["card", "sepa_debit", "ideal", "paypal", "bank_transfer"]
CHARGE_STATUSES = ["successful"] * 14 + ["refunded"] * 2 + ["failed"] * 2 + ["disputed", "pending", "void"]
SUBSCRIPTION_STATUSES = ["active"] * 6 + ["trialing", "past_due", "canceled", "canceled", "unpaid"]


def texts(lines: str) -> dict[str, str]:
    """Return the texts of a record by field, to be formatted; an empty one is null."""
    pairs = (field.split("=", 1) for line in lines.strip().splitlines() for field in line.split("|"))
    return {name.strip(): text.strip() for name, text in pairs}


CHARGE = texts("""
    object=charge | status={status} | status_text={status} | description={product.name} for {person.name}
    amount={amount} | amount_refunded={refunded} | added_tax={tax} | currency={product.currency}
    amount_formatted={product.sign}{amount} | amount_symbol={product.sign} | amount_with_commas={whole:,}{fraction}
    amount_refunded_formatted={product.sign}{refunded} | company=cd_example_company | customer_id={person.key}
    customer_name={person.name} | customer_email={person.email} | customer_email_domain={person.domain}
    customer_phone={person.phone} | customer_country={person.country} | customer_username={person.username}
    product_id={product.key} | product_desc={product.name} | subscription_id={subscription} | transaction_id=txn_{key}
    gateway_id={gateway} | gateway_url=https://pay.example/{gateway} | manage_url=https://desk.example/{key}
    support_url=https://desk.example/{key}/help | support_email=help+{digits}@desk.example | last_4_digits={digits}
    invoice_url=https://desk.example/{key}/invoice | invoice_download_url=https://desk.example/{key}/pdf
    payment_method=card | payment_method_bank={bank} | payment_method_brand={brand} | failure_reason={failure}
    payment_method_describe={brand} ending in {digits} | statement_description=EXAMPLE* {product.currency}
    refunded_at={returned_at} | refunded_at_formatted={returned_on} | occurred_formatted={occurred_on}
    occurred_relative=some time ago | name_email={person.name} <{person.email}> | name_send_email={person.name}
    sent_receipt={paid:d} | sent_dunning={unpaid:d}
""")
CUSTOMER = texts("""
    object=customer | name={name} | first_name={first_name} | username={username} | email={email}
    email_domain={domain} | send_email_to={email} | phone={phone} | fax= | website=https://{domain}/~{username}
    country={country} | readable_country={readable_country} | description={name} ({readable_country})
    company=cd_example_company | customer_company={name} & Söhne | billing_address={street} | shipping_address={street}
    tax_number={country}{tax:09d} | tax_number_abr=VAT | last_charge_id={charge} | last_paid_charge={paid_at}
    delinquent={delinquent} | card_on_file={delinquent} | unsubscribe_receipts={delinquent} | gateway_id=gw_{key}
    gateway_url=https://gateway.example/customers/{key} | manage_url=https://desk.example/customers/{key}
""")
SOLD = texts("""
    amount={amount} | amount_formatted={product.sign}{amount} | amount_symbol={product.sign} | setup_amount={setup}
    currency={product.currency} | interval={product.interval} | interval_count={product.interval_count}
    readable_interval={product.readable_interval} | company=cd_example_company | trial_period_days={trial}
    quantity={quantity} | status={status}
""")
PRODUCT = SOLD | texts("""
    object=product | name={product.name} | description={product.name}, {product.readable_interval}
    url=https://shop.example/{product.key} | support_url=https://desk.example/help/{product.key}
    billing_cycles_total={cycles} | chargeable=1 | gateway_id=plan_{product.key}
""")
SUBSCRIPTION = SOLD | texts("""
    object=subscription | status_text={status} | product_id={product.key} | product_desc={product.name}
    customer_id={person.key} | trial_start={moment} | trial_end={billed} | current_period_start={billed}
    current_period_end={ends} | canceled_at={canceled_at} | ended_at={canceled_at} | last_email={moment}
    gateway_id=gw_{key} | gateway_url=https://gateway.example/subscriptions/{key} | has_items=1 | has_meta={has_meta:d}
    manage_url=https://desk.example/subscriptions/{key}
""")
ITEM = texts("""
    item_id=item_{key} | description={product.name} | amount={price} | percent=100 | currency={product.currency}
    quantity={quantity} | amount_formatted={product.sign}{price}
""")


class Person(NamedTuple):
    """A customer."""

    key: str
    first_name: str
    name: str
    username: str
    email: str
    domain: str
    phone: str
    country: str
    readable_country: str


class Product(NamedTuple):
    """A product, with its price in the smallest unit of its currency."""

    key: str
    name: str
    price: int
    currency: str
    sign: str
    decimals: int
    interval: str
    interval_count: str
    readable_interval: str


def decimal(units: int, decimals: int) -> str:
    """Return an amount, given in the smallest unit of its currency, as a decimal string such as `"34.00"`."""
    whole, part = divmod(units, 10**decimals)
    return f"{whole}.{part:0{decimals}d}" if decimals else str(whole)


def formatted(moment: int) -> str:
    """Return a time, in Unix seconds, as people read it."""
    return time.strftime("%d %b %Y, %H:%M", time.gmtime(moment))


def fill(fields: dict[str, str], /, **words: object) -> Record:
    """Return the texts of a record, with these words in them."""
    values = "\n".join(fields.values()).format(**words).split("\n")
    return {name: value or None for name, value in zip(fields, values, strict=True)}


@cache
def defaults(stream: str) -> tuple[Record, dict[str, type]]:
    """Return the default of each declared field, and the types of those that are arrays and objects."""
    scalars: Record = {}
    containers: dict[str, type] = {}
    for name, declared in SCHEMAS.get_schema(stream)["properties"].items():
        kind = declared["type"] if isinstance(declared["type"], str) else declared["type"][0]
        scalars[name] = {"string": "0", "number": 0, "boolean": False}.get(kind)
        if declared.get("format") == MONEY_FORMAT:
            scalars[name] = "0.00"
        if kind in {"array", "object"}:
            containers[name] = list if kind == "array" else dict
    return scalars, containers


def make_account(
    *, seed: int = 0, start: int = START, end: int = END, php: bool | int = False, **sizes: int
) -> dict[str, list[Record]]:
    """Make all lists of one account; what a record refers to is in them, unless its list is empty."""
    drawing = Drawing(seed=seed, start=start, end=end, php=php, **sizes)
    return {stream: list(drawing.draw(stream)) for stream in STREAMS}


def tie(records: list[Record], size: int, *, first: int = 0) -> list[Record]:
    """Put `size` records of a list, from index `first` on, on the second of the first of them; return the list."""
    for record in records[first : first + size]:
        field = "occurred" if "occurred" in record else "first_seen"
        record[field] = type(record[field])(records[first][field])
    return records


class Drawing:
    """The lists of one account, drawn one record at a time.

    Args:
        seed: What all chance comes from.
        start: The earliest time of a record, in Unix seconds.
        end: The end of the times, itself left out.
        php: Whether values come as a PHP server sends them, and not with the declared types.
        sizes: The length of each list.
    """

    def __init__(
        self, *, seed: int = 0, start: int = START, end: int = END, php: bool | int = False, **sizes: int
    ) -> None:
        if unknown := sizes.keys() - STREAMS.keys():
            raise KeyError(f"no such stream: {sorted(unknown)}")
        self.seed, self.start, self.span, self.php, self.sizes = seed, start, max(1, end - start), php, sizes

    def draw(self, stream: str) -> Iterator[Record]:
        """Return the records of a list, newest first."""
        records = self._draw(stream)
        return (as_php(record, number) for number, record in enumerate(records)) if self.php else records

    def _draw(self, stream: str) -> Iterator[Record]:
        rng, count = Random(f"{stream} {self.seed}"), self.sizes.get(stream, 0)
        moments = sorted((self.start + int(rng.random() * self.span) for _ in range(count)), reverse=True)
        scalars, containers = defaults(stream)
        make, facts = getattr(self, f"_make_{stream}", None), STREAMS[stream]
        for number, moment in enumerate(moments):
            record = {**scalars, **{name: kind() for name, kind in containers.items()}}
            record[facts.key] = self.key(stream, number)
            record[facts.time] = str(moment) if isinstance(scalars[facts.time], str) else moment
            if "methods_active" in containers:
                record["methods_active"] = METHODS[:1]
                record["methods_supported"] = METHODS[: 1 + number % len(METHODS)]
            if "accurate_at" in scalars:
                record["accurate_at"] = str(moment + 60)
            if make:
                record |= make(number, moment, rng)
            if number % EMPTY_METADATA_EVERY == 0 and "metadata" in record:
                record["metadata"] = {}
            yield record

    def key(self, stream: str, number: int) -> str:
        """Return the key of a record; within a stream none comes twice, as both factors are odd."""
        mixed = number * 0x9E3779B97F4A7C15 + self.seed * 0xBF58476D1CE4E5B9
        return f"{stream[:2]}_{mixed % 2**64:016x}"

    @cached_property
    def people(self) -> list[Person]:
        """All customers, at least one."""
        rng = Random(f"people {self.seed}")
        return [self._person(number, rng) for number in range(max(1, self.sizes.get("customers", 0)))]

    @cached_property
    def products(self) -> list[Product]:
        """All products, at least one."""
        rng = Random(f"products {self.seed}")
        return [
            Product(
                self.key("products", number),
                f"{rng.choice(PLANS)} {number}",
                rng.randrange(99, 99_999),
                *rng.choice(CURRENCIES),
                *rng.choice(INTERVALS),
            )
            for number in range(max(1, self.sizes.get("products", 0)))
        ]

    @cached_property
    def deals(self) -> list[tuple[str, Person, Product]]:
        """The key, the customer and the product of each subscription, at least one."""
        rng = Random(f"deals {self.seed}")
        return [
            (self.key("subscriptions", number), rng.choice(self.people), rng.choice(self.products))
            for number in range(max(1, self.sizes.get("subscriptions", 0)))
        ]

    @cached_property
    def subscribed(self) -> dict[str, list[Record]]:
        """The subscriptions of each customer, by the customer's key."""
        found: dict[str, list[Record]] = {}
        for subscription in self._draw("subscriptions"):
            found.setdefault(subscription["customer_id"], []).append(subscription)
        return found

    def _person(self, number: int, rng: Random) -> Person:
        first_name, username = rng.choice(FIRST_NAMES), f"user{self.seed}.{number}"
        domain, country = rng.choice(DOMAINS), rng.choice(COUNTRIES)
        name, phone = f"{first_name} {rng.choice(LAST_NAMES)}", f"+{rng.randrange(10**9, 10**11)}"
        key, email = self.key("customers", number), f"{username}@{domain}"
        return Person(key, first_name, name, username, email, domain, phone, *country)

    def _make_charges(self, number: int, moment: int, rng: Random) -> Record:
        """Make a charge; the newest ones are those of each customer in turn."""
        draw = rng.random
        key, gateway, digits = self.key("charges", number), f"py_{int(draw() * 16**14):014x}", f"{draw():.4f}"[2:]
        person = self.people[number if number < len(self.people) else int(draw() * len(self.people))]
        subscription, _, product = self.deals[int(draw() * len(self.deals))]
        if number % 2 == 0:
            subscription, product = "", self.products[int(draw() * len(self.products))]
        status = CHARGE_STATUSES[int(draw() * len(CHARGE_STATUSES))]
        paid = status in {"successful", "refunded", "disputed"}
        unpaid = not paid
        units = product.price * (1 + int(draw() * 3)) + int(draw() * 100)
        returned = (units if draw() < 0.7 else units // 3) if status == "refunded" else 0
        returned_at = moment + int(draw() * 30 * DAY) if returned else ""
        returned_on, occurred_on = formatted(int(returned_at)) if returned_at else "", formatted(moment)
        amount, refunded, tax = (decimal(part, product.decimals) for part in (units, returned, units // 6))
        whole, fraction = units // 10**product.decimals, amount[len(str(units // 10**product.decimals)) :]
        bank, brand = BANKS[number % len(BANKS)], BRANDS[int(draw() * len(BRANDS))]
        failure = FAILURES[number % len(FAILURES)] if status == "failed" else ""
        return fill(CHARGE, **locals()) | {
            "is_paid": paid,
            "email_last_sent": moment + 5,
            "metadata": {"order": f"№ {number}", "vip": "0"},
            "logs": [{"occurred": moment, "text": "Receipt sent"}] if paid else [],
        }

    def _make_customers(self, number: int, moment: int, rng: Random) -> Record:
        person = self.people[number]
        street = f"{rng.randint(1, 200)} High Street, {rng.choice(CITIES)}, {person.readable_country}"
        charge = self.key("charges", number) if number < self.sizes.get("charges", 0) else ""
        tax, delinquent, paid_at = rng.randrange(10**9), rng.choice("0001"), moment + 60
        return fill(CUSTOMER, **person._asdict(), **locals()) | {
            "charges": rng.randrange(200),
            "invoice_details": "Line one\nLine two\tend",
            "subscriptions": self.subscribed.get(person.key, []),
            "metadata": {"source": 'Größe \\ "L" / é'},
        }

    def _make_products(self, number: int, _moment: int, rng: Random) -> Record:
        product, quantity = self.products[number], 1
        amount = decimal(product.price, product.decimals)
        setup = decimal(rng.choice((0, 0, product.price // 10)), product.decimals)
        status, trial = rng.choice(("active", "active", "active", "archived")), rng.choice((0, 14, 30))
        cycles = rng.choice(("", "12"))
        return fill(PRODUCT, **locals()) | {"taxable": rng.randrange(2), "charges": rng.randrange(5_000)}

    def _make_subscriptions(self, number: int, moment: int, rng: Random) -> Record:
        key, person, product = self.deals[number]
        status, quantity, trial = rng.choice(SUBSCRIPTION_STATUSES), rng.randint(1, 9), 14
        canceled_at = moment + rng.randrange(400) * DAY if status == "canceled" else ""
        billed, ends = moment + trial * DAY, moment + (trial + 30) * DAY
        amount, price, setup = (decimal(one, product.decimals) for one in (product.price * quantity, product.price, 0))
        has_meta = number % EMPTY_METADATA_EVERY > 0
        return fill(SUBSCRIPTION, **locals()) | {
            "charges": rng.randrange(60),
            "items": [fill(ITEM, **locals())],
            "metadata": {"seats": str(quantity)},
        }


def as_php(record: Record, number: int) -> Record:
    """Return a record as a PHP server sends it, where a value's type is no more than a habit.

    An empty object becomes `[]`, flags and counts become strings, money is a number in every fifth record, `occurred`
    an integer in every third, and in every seventh an array with something in it is an object with numbers for keys.
    """
    sent = record | {name: str(record[name]) for name in ("charges", "taxable", "email_last_sent") if name in record}
    if "is_paid" in sent:
        sent["is_paid"] = "1" if sent["is_paid"] else "0"
    if sent.get("metadata") == {}:
        sent["metadata"] = []
    if number % 3 == 0 and "occurred" in sent:
        sent["occurred"] = int(sent["occurred"])
    if number % 5 == 0:
        money = {"amount", "amount_refunded", "added_tax", "setup_amount"} & sent.keys()
        sent |= {name: float(sent[name]) if "." in sent[name] else int(sent[name]) for name in money}
    if number % 7 == 0:
        arrays = [name for name in ("methods_active", "methods_supported", "logs") if sent.get(name)]
        sent |= {name: {str(index): one for index, one in enumerate(sent[name])} for name in arrays}
    return sent | {
        name: [as_php(part, number) for part in sent[name]] for name in ("items", "subscriptions") if name in sent
    }
