from __future__ import annotations

from bench.profile import parse, system_calls

REPORT = """# To display the perf.data header info, please use --header/--header-only options.
#
# Overhead  Shared Object      Symbol
# ........  .................  ......
#
    61.50%  _dns.abi3.so       [.] worker_batch
     8.25%  [kernel.kallsyms]  [k] udp_sendmsg


"""
INCLUSIVE = """
    90.00%     0.10%  [k] __x64_sys_sendmmsg
    80.00%     5.00%  [k] udp_sendmsg
     3.00%     3.00%  [k] asm_sysvec_apic_timer_interrupt
"""


def test_shares_become_nanoseconds_of_an_answer():
    lines = parse(REPORT, 4000.0)
    assert [(line.what, line.ns) for line in lines] == [
        ("_dns.abi3.so  [.] worker_batch", 2460.0),
        ("[kernel.kallsyms]  [k] udp_sendmsg", 330.0),
    ]


def test_a_system_call_has_all_that_is_below_it():
    lines = system_calls(parse(INCLUSIVE, 1000.0))
    assert [(line.what, line.ns) for line in lines] == [("sendmmsg", 900.0), ("asm_sysvec_apic_timer_interrupt", 30.0)]
