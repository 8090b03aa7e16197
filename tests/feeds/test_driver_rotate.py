"""Other keys, another threshold, a later root: subscribers, old and new, notice nothing but the new versions."""

from __future__ import annotations

import pytest

from blockd.errors import Refused
from blockd.feeds import driver, roles
from tests.feeds.simulator import NOW


def statuses(outcome):
    return {s.role: (s.version, s.live, s.signatures, s.threshold) for s in outcome.roles}


def test_rotate_the_online_key(publisher):
    publisher.init()
    publisher.publish()
    old = (publisher.keys / "online.pem").read_bytes()
    subscriber = publisher.subscribe()
    subscriber.refresh(NOW)
    assert statuses(publisher.rotate("online")) == {"root": (2, True, 3, 2)}
    assert (publisher.keys / "online.old.pem").read_bytes() == old
    (publisher.keys / "online.old.pem").unlink()
    publisher.publish(text="more.example\n")
    assert subscriber.refresh(NOW)
    assert subscriber.download("gambling").version == 2


def test_rotate_the_online_key_when_the_old_one_is_lost(publisher):
    publisher.init()
    publisher.publish()
    (publisher.keys / "online.pem").unlink()
    publisher.rotate("online")
    assert publisher.seen() == (1, "casino.example\n")


def test_rotate_a_signer_out_with_cosigning(publisher):
    publisher.init().send_away(2, 3)
    publisher.publish()
    publisher.cosign(2)
    subscriber = publisher.subscribe()
    subscriber.refresh(NOW)
    outcome = publisher.rotate("signers", replace=["1"])
    assert not any(status.live for status in outcome.roles)
    assert publisher.seen() == (1, "casino.example\n")  # nothing changes for anyone yet
    publisher.cosign(2)
    assert publisher.seen() == (2, "casino.example\n")
    (publisher.keys / "1.old.pem").unlink()
    publisher.publish(text="more.example\n")
    publisher.cosign(3)
    assert subscriber.refresh(NOW)
    assert subscriber.download("gambling").version == 3


def test_rotate_to_more_signers_and_a_higher_threshold(publisher):
    publisher.init()
    publisher.publish()
    publisher.rotate("signers", add=2, threshold=4)
    assert sorted(p.name for p in publisher.keys.glob("[0-9].pem")) == ["1.pem", "2.pem", "3.pem", "4.pem", "5.pem"]
    assert publisher.publish(text="more.example\n").roles[0].threshold == 4
    assert publisher.seen() == (3, "more.example\n")
    publisher.rotate("signers", remove=["5"])
    publisher.send_away(5)
    assert publisher.publish().roles[0].signatures == 4


def test_rotate_to_fewer_signers_than_the_threshold_is_refused(publisher):
    publisher.init()
    with pytest.raises(Refused):
        publisher.rotate("signers", remove=["1", "2"])
    publisher.publish()
    assert publisher.seen() == (1, "casino.example\n")


def test_rotate_by_key_id_a_signer_whose_file_is_lost(publisher):
    publisher.init()
    publisher.publish()
    gone = driver.open_key(publisher.keys / "3.pem", None).public_key.keyid
    (publisher.keys / "3.pem").unlink()
    publisher.rotate("signers", replace=[gone[:8]])
    assert publisher.publish(text="more.example\n").roles[0].signatures == 3


def test_what_waits_survives_a_rotation_of_the_online_key_and_not_one_of_the_signers(publisher):
    publisher.init().send_away(2, 3)
    publisher.publish()
    publisher.rotate("online")
    publisher.cosign(2)
    assert publisher.seen() == (1, "casino.example\n")
    publisher.publish("fresh", "new.example\n")
    assert any("fresh" in note for note in publisher.rotate("signers", replace=["1"]).notes)
    publisher.cosign(3)
    assert publisher.seen("fresh") is None
    assert publisher.seen() == (2, "casino.example\n")


def test_the_root_is_renewed(publisher):
    publisher.init()
    publisher.publish()
    publisher.now += roles.ROOT_LIFE_S - roles.DAY_S
    assert statuses(publisher.rotate("root")) == {"root": (2, True, 3, 2)}
    publisher.now += 2 * roles.DAY_S
    publisher.publish()
    assert publisher.seen() == (2, "casino.example\n")
