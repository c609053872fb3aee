"""`Templates` as a handler has it: the tenant is that of the unit of work, and nothing works after the handler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from duly.errors import InvalidTemplate, ScopeClosed
from duly.messages.envelope import Envelope, Kind
from duly.ports.templates import TemplateKeeper
from duly.templates.folder import FolderTemplates
from duly.templates.tenant import MemoryTenantTexts, TenantTemplate, TenantTemplates
from duly.work.scope import Handling
from duly.work.templates import Templates


@dataclass
class Open:
    """A unit of work that may be closed."""

    templates: TemplateKeeper
    tenant: str = "acme"
    is_open: bool = True

    def handling(self) -> Handling:
        if not self.is_open:
            raise ScopeClosed("The handler has ended.")
        cause = Envelope(id="m-1", tenant=self.tenant, kind=Kind.EVENT, name="OrderPlaced", version=1, body="{}")
        return Handling(cause, handler="shop.tell", identity="shop.tell")


@pytest.fixture
def keeper(tmp_path: Path) -> TenantTemplates:
    (tmp_path / "order.sms.txt").write_text("Order {{ name }}")
    (tmp_path / "de").mkdir()
    (tmp_path / "de/order.sms.txt").write_text("Bestellung {{ name }}")
    texts = MemoryTenantTexts()
    texts.put("globex", "order.sms", TenantTemplate(text="Globex: {{ name }}"))
    return TenantTemplates(texts, fall_back=FolderTemplates(tmp_path))


async def test_a_handler_names_template_locale_and_values_and_the_tenant_is_its_own(keeper: TenantTemplates) -> None:
    acme, globex = Templates(Open(keeper)), Templates(Open(keeper, tenant="globex"))
    assert await acme.text("order.sms", locale="de-AT", name="42") == "Bestellung 42"
    assert await acme.text("order.sms", name="42") == "Order 42"
    assert await globex.text("order.sms", locale="de", name="42") == "Globex: 42"


async def test_a_mail_is_asked_for_in_the_same_way(keeper: TenantTemplates, tmp_path: Path) -> None:
    (tmp_path / "order.txt").write_text("Hello {{ name }}")
    (tmp_path / "order.subject.txt").write_text("Order")
    mail = await Templates(Open(FolderTemplates(tmp_path))).mail("order", name="Ann")
    assert (mail.subject, mail.text, mail.html) == ("Order", "Hello Ann", None)


async def test_after_its_handler_it_renders_nothing(keeper: TenantTemplates) -> None:
    scope = Open(keeper)
    templates = Templates(scope)
    scope.is_open = False
    with pytest.raises(ScopeClosed):
        await templates.text("order.sms", name="42")
    with pytest.raises(ScopeClosed):
        await templates.mail("order.sms", name="42")


async def test_a_value_that_is_missing_is_told_to_the_handler(keeper: TenantTemplates) -> None:
    with pytest.raises(InvalidTemplate, match="'name' is undefined"):
        await Templates(Open(keeper)).text("order.sms")
