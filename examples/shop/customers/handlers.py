"""The module customers.

Registering is deep: an aggregate, an event, an account opened in the same transaction. The newsletter is shallow: one
table, plain SQL in the same kind of transaction, and an effect all the same.
"""

from duly import Context, Effects, Email, Module, Reader, Repository, RuleBroken, Sql
from examples.shop.customers.customer import Customer
from examples.shop.customers.messages import (
    CountNewsletterWishes,
    CustomerRegistered,
    CustomerRegisteredPublic,
    RegisterCustomer,
    WishForNewsletter,
)

NEWSLETTER_WISH = """
CREATE TABLE IF NOT EXISTS newsletter_wish (tenant TEXT NOT NULL, email TEXT NOT NULL, PRIMARY KEY (tenant, email))
"""

customers = Module("customers", messages=[CustomerRegistered], tables=[NEWSLETTER_WISH])


@customers.command
async def register_customer(command: RegisterCustomer, customers: Repository[Customer]) -> None:
    """A second customer with the same address is refused: the field is `Unique`."""
    customers.add(
        Customer.register(
            command.customer_id,
            name=command.name,
            email=command.email,
            phone=command.phone,
            may_greet=command.may_greet,
        )
    )


@customers.publishes
def customer_registered(event: CustomerRegistered) -> CustomerRegisteredPublic:
    """What others may know of it after the commit."""
    return CustomerRegisteredPublic(
        customer_id=event.customer_id, name=event.name, phone=event.phone, may_greet=event.may_greet
    )


@customers.command
async def wish_for_newsletter(command: WishForNewsletter, sql: Sql, effects: Effects, context: Context) -> None:
    """No aggregate in sight: the row and the mail are committed together, or neither is."""
    added = await sql.execute(
        "INSERT INTO newsletter_wish (tenant, email) VALUES (:tenant, :email) ON CONFLICT DO NOTHING",
        tenant=context.tenant,
        email=command.email,
    )
    if not added:
        raise RuleBroken("This address wishes for the newsletter already.")
    effects.request(
        Email(to=command.email, subject="The newsletter", text="Reply to this mail, and you will get our newsletter.")
    )


@customers.query
async def count_newsletter_wishes(query: CountNewsletterWishes, reader: Reader, context: Context) -> int:
    """Plain SQL on what was committed."""
    count = await reader.fetch_value(
        "SELECT count(*) FROM newsletter_wish WHERE tenant = :tenant", tenant=context.tenant
    )
    assert isinstance(count, int)
    return count
