import socket, time, struct, threading
import pytest
from tests.dns import running
from tests.system import hostile
from tests.system.hostile_loop import Metered
from tests.system.hostile_upstream import HostileUpstream

@pytest.fixture
def r(monkeypatch):
    with HostileUpstream() as up, Metered(monkeypatch, running.configured(up.port)) as r:
        yield r

def name(first, n, rest=b"\x04evil\x07example\x00"):
    return bytes((len(first),)) + first + b"\x06n%05d" % n + rest

def test_flood(r):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(r.door())
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4<<20)
    for rnd in range(3):
        r.meter.reset()
        for n in range(2000):
            s.send(hostile.query(name(b"good", rnd*10000+n)+hostile.A_IN, identity=n))
        time.sleep(2.5)
        print("miss flood", r.meter.callback_ms, r.meter.turn_ms, r.meter.what, r.stats())
    r.meter.reset()
    for n in range(8000):
        s.send(hostile.query(name(b"silence", n)+hostile.A_IN, identity=n))
        if n%200==0: time.sleep(0.05)
    print("silence flood", r.meter.callback_ms, r.meter.turn_ms, r.meter.what, r.stats())
    r.meter.reset()
    time.sleep(6)
    print("silence timeouts", r.meter.callback_ms, r.meter.turn_ms, r.meter.what, r.stats())

def test_waiters(r):
    big = b"\x0dmegabyte-text\x01w\x04evil\x07example\x00"+b"\0\x10\0\1"
    for rnd in range(3):
        big = b"\x0dmegabyte-text\x01"+bytes((97+rnd,))+b"\x04evil\x07example\x00"+b"\0\x10\0\1"
        socks=[]
        r.meter.reset()
        for c in range(4):
            s = socket.create_connection(r.door("tcp")); socks.append(s)
            s.sendall(b"".join(struct.pack(">H", len(q:=hostile.query(big, identity=i)))+q for i in range(64)))
        time.sleep(1.5)
        print("waiters", r.meter.callback_ms, r.meter.turn_ms, r.meter.what, r.stats())
        got=[0]*4
        for i,s in enumerate(socks):
            s.settimeout(0.5)
            try:
                while (d:=s.recv(1<<20)): got[i]+=len(d)
            except TimeoutError: pass
            s.close()
        print(got)

def test_idle(r):
    socks=[]
    for c in range(2000):
        s=socket.socket(); s.bind((f"127.0.1.{1+c//60}",0)); s.connect(r.door("tcp")) if c==0 else s.connect(socks[0].getpeername()); socks.append(s)
    time.sleep(0.5); print(r.stats())
    r.meter.reset(); time.sleep(3)
    print("idle", r.meter.callback_ms, r.meter.turn_ms, r.meter.what)
    r.meter.reset(); time.sleep(7)
    print("expired", r.meter.callback_ms, r.meter.turn_ms, r.meter.what, r.stats())
    for s in socks: s.close()
