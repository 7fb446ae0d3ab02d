import HTTPServer
import Ingress
import JSON
import NIOCore
import NIOHTTP1
import NetworkPolicy
import Runtimes
import Testing

@testable import ControlPlane

/// The control plane over a runtime that is nothing like this machine: asynchronous, guarded by sidecars, heard of by a watch
/// whose news come late, twice or not at all.
@Suite struct PodTests {
    private let denyAll = #","networkPolicy":{"defaultAction":"deny"}"#

    @Test func `a pod is guarded before it runs, and routed to where it is`() async throws {
        let house = try await PodHouse(), id = try await house.create(denyAll)
        let pod = try #require(house.cluster[id]), sidecar = try #require(pod.sidecar)
        #expect(house.state(id) == .running && sidecar.policy == .denyAll)
        #expect(pod.labels[SandboxLabels.ownerKey] == "ours" && pod.labels[SandboxLabels.idKey] == id)
        guard case .found(let application) = house.routes.lookup(sandbox: id, port: 8000),
            case .found(let policy) = house.routes.lookup(sandbox: id, port: 18080)
        else { return #expect(Bool(false)) }
        #expect(application.address == .tcp(host: "10.42.0.7", port: 8000))
        #expect(policy.address == .tcp(host: "127.0.0.1", port: sidecar.port) && policy.pathPrefix.isEmpty)
        let told = await house.send(.GET, "/v1/sandboxes/\(id)/endpoints/18080", headers: ["host": "h"])
        #expect(told.json?["headers", "OPENSANDBOX-EGRESS-AUTH"] == .string(pod.token))
        #expect(house.routes.enterable(house.service.catalog[id]?.incarnation ?? "") == nil)
    }

    @Test func `a policy is changed at its sidecar, or not at all`() async throws {
        let house = try await PodHouse(), id = try await house.create(denyAll),
            target = "/v1/sandboxes/\(id)/networkpolicy"
        let sidecar = try #require(house.cluster[id]?.sidecar)
        #expect(await house.send(.GET, target).json?["mode"] == .string("deny_all"))
        let patched = await house.send(.PATCH, target, #"[{"action":"allow","target":"a.example"}]"#)
        #expect(patched.status == 200 && sidecar.policy?.rules.map(\.text) == ["a.example"])
        #expect(await house.send(.DELETE, target, #"["a.example"]"#).status == 200)
        #expect(await house.send(.PUT, target, #"{"defaultAction":"allow"}"#).json?["mode"] == .string("allow_all"))
        #expect(sidecar.policy == .allowAll)
        // More rules than this sidecar takes: its refusal is the caller's.
        let many = (0...100).map { #"{"action":"allow","target":"n\#($0).example"}"# }.joined(separator: ",")
        #expect(await house.send(.PATCH, target, "[\(many)]").status == 400 && sidecar.policy == .allowAll)
        await sidecar.stop()
        let gone = await house.send(.PUT, target, #"{"defaultAction":"deny"}"#)
        #expect(gone.status == 503 && gone.text.contains("SANDBOX::GUARD_UNAVAILABLE"), "\(gone.text)")
    }

    @Test func `a preset is removed from a sidecar by its name, as it was put there`() async throws {
        let file =
            #"{"name":"py","description":"","allow":[{"target":"pypi.org","ports":[443]},{"target":"b.example"}]}"#
        let preset = try Presets.decode(json: Array(file.utf8))
        let house = try await PodHouse(presets: Presets(rules: [preset.name: preset.rules]))
        let id = try await house.create(denyAll), target = "/v1/sandboxes/\(id)/networkpolicy"
        let sidecar = try #require(house.cluster[id]?.sidecar)
        let rules = #"[{"preset":"py"},{"action":"allow","target":"kept.example"}]"#
        #expect(await house.send(.PATCH, target, rules).status == 200 && sidecar.policy?.rules.count == 3)
        let unknown = await house.send(.DELETE, target, #"["preset:pyy"]"#)
        #expect(unknown.status == 400 && unknown.text.contains("pyy") && sidecar.policy?.rules.count == 3)
        #expect(await house.send(.DELETE, target, #"["preset:py"]"#).status == 200)
        #expect(sidecar.policy?.rules.map(\.text) == ["kept.example"])
    }

    @Test func `what it cannot do is 501, and its errors have its own codes`() async throws {
        let house = try await PodHouse(), id = try await house.create()
        for action in ["pause", "resume"] {
            let refused = await house.send(.POST, "/v1/sandboxes/\(id)/\(action)")
            #expect(refused.status == 501 && refused.json?["code"] == .string("SANDBOX::API_NOT_SUPPORTED"))
        }
        // This sidecar is not one of ours, and knows `/policy` alone.
        for question in ["explain?target=a.example", "suggestion", "effective", "events", "events?limit=1"] {
            let refused = await house.send(.GET, "/v1/sandboxes/\(id)/networkpolicy/\(question)")
            #expect(
                refused.status == 501 && refused.json?["code"] == .string("SANDBOX::API_NOT_SUPPORTED"), "\(question)")
        }
        #expect(house.state(id) == .running)
        let unknown = await house.send(.POST, "/v1/sandboxes/x/pause")
        #expect(unknown.status == 404 && unknown.json?["code"] == .string("KUBERNETES::SANDBOX_NOT_FOUND"))
        let port = await house.send(.GET, "/v1/sandboxes/\(id)/endpoints/0")
        #expect(port.status == 400 && port.json?["code"] == .string("KUBERNETES::INVALID_PORT"))
        house.cluster.isReachable = false
        let failed = await house.send(.DELETE, "/v1/sandboxes/\(id)")
        #expect(failed.status == 500 && failed.json?["code"] == .string("KUBERNETES::API_ERROR"))
        house.cluster.isReachable = true
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 204 && house.cluster.pods.isEmpty)
    }

    @Test func `its time is prolonged without it`() async throws {
        let house = try await PodHouse(), id = try await house.create()
        let soon = Timestamp.now().adding(seconds: 300)
        let answer = await house.send(.POST, "/v1/sandboxes/\(id)/renew-expiration", #"{"expiresAt":"\#(soon)"}"#)
        #expect(answer.status == 200 && house.service.catalog[id]?.expiresAt == soon)
    }

    @Test func `an end is told by its reason once, however often the watch tells it`() async throws {
        let house = try await PodHouse()
        house.cluster.deliver(.doubled)
        for (end, isOutOfMemory, reason) in [
            (.exited(3), false, "ENTRYPOINT_EXITED"), (.signalled(11), false, "ENTRYPOINT_KILLED"),
            (.signalled(9), true, "OUT_OF_MEMORY"),
        ] as [(EntrypointEnd, Bool, String)] {
            let id = try await house.create()
            house.cluster.end(id, end, isOutOfMemory: isOutOfMemory)
            await house.until(id, .failed)
            let pod = try #require(house.cluster[id])
            await house.service.heard(.exited(try #require(pod.end)))
            await house.service.heard(.lost(id: id, reason: "its pod was deleted"))
            let history = house.service.catalog[id]?.history.map(\.reason)
            #expect(history == ["CREATING", "CONTAINER_RUNNING", reason])
            #expect(house.routes.lookup(sandbox: id, port: 80) == .unknown)
        }
    }

    @Test func `a pod whose node dies is lost, and says so`() async throws {
        let house = try await PodHouse(), id = try await house.create()
        await house.cluster.evict(id)
        await house.until(id, .failed)
        let status = try #require(house.service.catalog[id]?.status)
        #expect(status.reason == "SANDBOX_LOST" && status.message.contains("the node may have died"))
    }

    @Test func `what no watch told is seen when the watch begins anew`() async throws {
        let house = try await PodHouse()
        let ended = try await house.create(), gone = try await house.create(), kept = try await house.create()
        house.cluster.deliver(.dropped)
        house.cluster.end(ended, .exited(7))
        await house.cluster.evict(gone)
        house.cluster.breakWatches()
        await house.until(ended, .failed)
        await house.until(gone, .failed)
        #expect(house.service.catalog[ended]?.status.message.contains("exit code 7") == true)
        #expect(house.service.catalog[gone]?.status.reason == "SANDBOX_LOST" && house.state(kept) == .running)
    }

    @Test func `a cluster that does not answer ends nothing`() async throws {
        let house = try await PodHouse(), id = try await house.create()
        house.cluster.isReachable = false
        await house.service.heard(.missed)
        #expect(house.state(id) == .running)
        let later = try await house.restarted()
        #expect(later.state(id) == .running && later.cluster.pods == [id])
        // The sidecar's token is the cluster's to tell.
        #expect(await later.send(.GET, "/v1/sandboxes/\(id)/networkpolicy").status == 503)
        later.cluster.isReachable = true
        #expect(await later.send(.GET, "/v1/sandboxes/\(id)/networkpolicy").status == 200)
    }

    @Test func `news that are late change nothing of what has come since`() async throws {
        let house = try await PodHouse()
        house.cluster.deliver(.held)
        let deleted = try await house.create(), kept = try await house.create()
        house.cluster.end(deleted, .exited(0))
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(deleted)").status == 204)
        house.cluster.end(kept, .exited(1))
        house.cluster.release()
        await house.until(kept, .failed)
        await house.service.heard(.exited(SandboxEnd(id: deleted, entrypoint: .exited(0))))
        #expect(house.service.catalog[deleted] == nil)
        // That it started was held, too, and is told after its end.
        let placement = SandboxPlacement(
            .sidecar(PolicyEndpoint(host: "127.0.0.1", port: 1, token: "t")), .pod(address: "10.42.0.9"))
        await house.service.heard(.started(id: kept, placement))
        #expect(house.state(kept) == .failed)
    }

    @Test func `a slow create is answered, called off by a delete, and leaves nothing`() async throws {
        let house = try await PodHouse(patience: .milliseconds(10))
        house.cluster.kubelet.close()
        let id = try await house.create(), other = try await house.create()
        #expect(house.state(id) == .pending && house.state(other) == .pending)
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 204)
        #expect(house.cluster.pods == [other] && house.service.catalog[id] == nil)
        house.cluster.kubelet.open()
        await house.until(other, .running)
        #expect(house.cluster.pods == [other])
    }

    @Test func `a restart finds its pods again, and goes on with those that are being made`() async throws {
        let house = try await PodHouse(patience: .milliseconds(10))
        let running = try await house.create(denyAll), ended = try await house.create(), gone = try await house.create()
        for id in [running, ended, gone] { await house.until(id, .running) }
        house.cluster.kubelet.close()
        let pending = try await house.create()
        #expect(house.state(pending) == .pending)
        house.cluster.deliver(.dropped)
        house.cluster.end(ended, .signalled(11))
        await house.cluster.evict(gone)

        let later = try await house.restarted()
        #expect(later.state(running) == .running && later.state(pending) == .pending)
        #expect(later.service.catalog[ended]?.status.reason == "ENTRYPOINT_KILLED")
        #expect(later.service.catalog[gone]?.status.reason == "SANDBOX_LOST")
        #expect(await later.send(.GET, "/v1/sandboxes/\(running)/networkpolicy").json?["mode"] == .string("deny_all"))
        guard case .found(let backend) = later.routes.lookup(sandbox: running, port: 80) else {
            return #expect(Bool(false))
        }
        #expect(backend.address == .tcp(host: "10.42.0.7", port: 80))
        later.cluster.deliver(.prompt)
        later.cluster.kubelet.open()
        await later.until(pending, .running)
        #expect(await later.send(.GET, "/v1/sandboxes/\(pending)/networkpolicy").status == 200)
    }

    @Test func `only what is this server's own is ever taken away`() async throws {
        let house = try await PodHouse(), theirs = try await house.neighbour()
        let ours = try await house.create(), foreign = try await theirs.create()
        for (id, labels) in [
            ("orphan", [SandboxLabels.ownerKey: "ours"]), ("unlabelled", [:]), ("else", ["app": "database"]),
        ] as [(String, [String: String])] {
            house.cluster.apply(Cluster.Pod(id: id, labels: labels, policy: .allowAll, token: "t"))
        }
        let later = try await house.restarted()
        #expect(later.cluster.pods == [ours, foreign, "unlabelled", "else"].sorted())
        // Nor does one hear of the other's.
        later.cluster.end(foreign, .exited(0))
        await theirs.until(foreign, .terminated)
        #expect(later.service.catalog[foreign] == nil && later.state(ours) == .running)
        #expect(await later.send(.DELETE, "/v1/sandboxes/\(foreign)").status == 404)
        #expect(later.cluster.pods.contains(foreign))
    }
}
