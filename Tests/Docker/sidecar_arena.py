"""The second arena with guards beside containers: attackers are in the networks of real sandboxes on an engine's bridge."""

import json
import subprocess
from types import SimpleNamespace

import httpx
from arena import ONE, TCP, Arena, Attacker
from inside import within
from plain_engine import BridgedEngine
from support.server import IMAGE, AllInOneServer
from support.world import run

HEADER = "OPENSANDBOX-EGRESS-AUTH"
POLICY_PORT = 18080


class SidecarArena(Arena):
    """The outside is the machine of an engine and a server.

    A sandbox serves one attacker after the other. In between its policy denies everything, which forgets what names had taught.
    """

    def _start_guard(self):
        self.idle = {True: [], False: []}
        self.server = self.engine = None
        folder = self.folder / "engine"
        folder.mkdir()
        with within(self.outside):
            self.engine = BridgedEngine(folder)
            self.engine.prepare()
            self._serve()

    def _serve(self, **egress):
        """Starts the server; `egress` are more settings of its guards."""
        options = self.engine.options
        outside = SimpleNamespace(names=SimpleNamespace(address=ONE, port=53))
        self.server = AllInOneServer(outside, **options | {"egress": options["egress"] | egress})
        self.guard = self.server.start().process
        self.log = self.server.log

    def attacker(self, policy=None, guarded=True):
        self.number += 1
        place = self.idle[guarded].pop() if self.idle[guarded] else Place(self, self.number, guarded)
        attacker = ContainerAttacker(self, place)
        self.attackers.append(attacker)
        if guarded:
            attacker.protect(policy)
        return attacker

    def close(self):
        try:
            self._leave()
        finally:
            self.guard = None
            if getattr(self, "engine", None):
                self.engine.remove_all()
                self.engine.close()
            super().close()

    def _leave(self):
        for attacker in list(self.attackers):
            attacker.close()
        for place in sum(getattr(self, "idle", {}).values(), []):
            subprocess.run(["ip", "netns", "delete", place.namespace], capture_output=True)
        if getattr(self, "server", None):
            with within(self.outside):
                self.server.tear_down()


class ClosingSidecarArena(SidecarArena):
    """Another server in the same outside, with the same engine, whose guards close the roads to other resolvers."""

    def __init__(self, arena, targets):
        self.tag, self.outside, self.names, self.engine = arena.tag, arena.outside, arena.names, arena.engine
        self.attackers, self.idle = [], {True: [], False: []}
        # No namespace of the other's has such a number.
        self.number, self.server, self.guard = 1000, None, None
        try:
            with within(self.outside):
                self._serve(block_dot="true", block_doh=json.dumps(targets))
        except BaseException:
            self.close()
            raise

    def close(self):
        self._leave()

    def leftovers(self):
        return [name for name in super().leftovers() if int(name.rsplit("-", 1)[1].replace("out", "0")) > 1000]


class Place:
    """A container on the bridge: a sandbox with its guard, or one that nobody guards."""

    def __init__(self, arena, number, guarded):
        self.guarded = guarded
        if guarded:
            with within(arena.outside), arena.server.api as api:
                body = arena.server.body(timeout=None, networkPolicy={"defaultAction": "deny"})
                made = api.post("/v1/sandboxes", json=body)
                assert made.status_code == 202, made.text
                name = f"sandbox-{made.json()['id']}"
                where = f"/v1/sandboxes/{made.json()['id']}/endpoints/{POLICY_PORT}"
                self.token = api.get(where).json()["headers"][HEADER]
        else:
            name = f"free-{number}"
            arena.engine.start(name, image=IMAGE)
        facts = json.loads(arena.engine.run("inspect", name).stdout)[0]
        network = facts["NetworkSettings"]["Networks"]["bridge"]
        self.address, self.address_v6 = network["IPAddress"], network["GlobalIPv6Address"]
        self.namespace = f"byp-{arena.tag}-{number}"
        run("ip", "netns", "attach", self.namespace, str(facts["State"]["Pid"]))
        inner, = json.loads(run("ip", "-n", self.namespace, "-json", "link", "show", "eth0"))
        links = json.loads(run("ip", "-n", arena.outside, "-json", "link"))
        self.link = next(link["ifname"] for link in links if link["ifindex"] == inner["link_index"])


class ContainerAttacker(Attacker):
    """Root with every capability but power over the network, in the network of a container."""

    def __init__(self, arena, place):
        self.place = place
        super().__init__(arena, arena.number)

    def connect(self, number):
        place = self.place
        self.namespace, self.link, self.home = place.namespace, place.link, "docker0"
        self.address, self.address_v6 = place.address, place.address_v6
        self.gateway, self.gateway_v6 = BridgedEngine.gateway, BridgedEngine.gateway_v6
        self.know_neighbours()

    def protect(self, policy):
        answer = self.policy("PUT", **({"content": b""} if policy is None else {"json": policy}))
        assert answer.status_code == 200, answer.text
        self.guarded = True

    def ask(self, method, what, **options):
        """As the server asks, from the machine."""
        with within(self.arena.outside):
            return httpx.request(
                method, f"http://{self.address}:{POLICY_PORT}/{what}", headers={HEADER: self.place.token}, timeout=15, **options)

    def arrived(self):
        """Without what the guard itself answers to who asks for its policy."""
        return [packet for packet in super().arrived() if not (
            packet.target == self.gateway and packet.protocol == TCP and packet.payload[:2] == POLICY_PORT.to_bytes(2, "big"))]

    def disconnect(self):
        if self.guarded and self.arena.guard.poll() is None:
            self.protect(None)
        self.arena.idle[self.place.guarded].append(self.place)
