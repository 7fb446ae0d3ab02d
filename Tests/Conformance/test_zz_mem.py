import re, collections
from support.parts import apart, children, words
def test_mem(world):
    with (apart(world) if not __import__("os").environ.get("ONE") else __import__("contextlib").contextmanager(one)(world)) as a:
        import time; time.sleep(2)
        pids = [a.process.pid] + children(a.process.pid)
        tot = 0
        for p in pids:
            w = words(p)
            d = collections.defaultdict(lambda: [0,0,0]); name = None; s=[0,0,0]
            for l in open(f"/proc/{p}/smaps"):
                m = re.match(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)$", l)
                if m: name = m[1].split("/")[-1] or "[anon]"; continue
                k = l.split()
                for i, f in enumerate(("Pss:", "Private_Dirty:", "Private_Clean:")):
                    if k[0] == f: d[name][i] += int(k[1]); s[i] += int(k[1])
            print("==", w[1:4], "pss", s[0], "dirty", s[1], "clean", s[2]); tot += s[0]
            for n, v in sorted(d.items(), key=lambda x: -x[1][0])[:14]: print("   ", n, v)
        print("TOTAL PSS KiB", tot)

def one(world):
    from support.appliance import Appliance
    a = Appliance(world); a.words = ("--single-process",)
    try: yield a.start()
    finally: a.tear_down()
