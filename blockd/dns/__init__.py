"""The resolver: a query comes in, an answer goes out.

=================  ========  =====================================================================================
file               is        what it holds
=================  ========  =====================================================================================
native/_dns        C         the walk of every message, the table, the cache, the writing of answers
udp/, tcp/         moves     the doors: sockets of clients
driver.py          moves     what the core leaves open: coalescing, forwarding, targets of answers
client.py          moves     sockets to upstreams
server.py          moves     the process's service: generations, configurations, drain, health
forward.py         decides   the way of one query upstream
upstreams.py       decides   which upstream is asked first, which is down
stream.py          decides   framing, and how long a TCP client is listened to
judge.py           decides   combinations of entries, by policy/verdict.py
special.py         decides   names that are answered here
settings.py        decides   what the configuration means here
build.py           decides   messages that are built; the only importer of dnslib
=================  ========  =====================================================================================
"""
