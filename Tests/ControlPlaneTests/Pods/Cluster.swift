import NetworkPolicy
import Runtimes
import Synchronization

@testable import ControlPlane

/// What a cluster knows: pods, which outlive every server of ours, and watches of them that are not to be relied on. Nothing
/// of it is a process; only the sidecars are real, as far as their `/policy` goes.
final class Cluster: Sendable {
    struct Pod: Sendable {
        enum Phase: Hashable, Sendable { case pending, running, ended(EntrypointEnd, isOutOfMemory: Bool) }

        var id: String
        var labels: [String: String]
        var phase = Phase.pending
        var address = "10.42.0.7"
        var policy: Policy
        /// As an annotation has it.
        var token: String
        var sidecar: SidecarServer?
    }

    enum WatchEvent: Sendable {
        case modified(Pod)
        case deleted(Pod)
        /// 410: the watch was behind, and begins anew.
        case gone
    }

    /// How news of pods reaches watches.
    enum Delivery: Sendable { case prompt, doubled, held, dropped }

    private struct State {
        var pods: [String: Pod] = [:]
        var watches: [AsyncStream<WatchEvent>.Continuation] = []
        var delivery = Delivery.prompt
        var held: [WatchEvent] = []
        var isReachable = true
        var waiting: [AsyncStream<Void>.Continuation] = []
    }

    private let state = Mutex(State())
    /// What pods wait for before they start.
    let kubelet = Gate()

    var pods: [String] { state.withLock { $0.pods.keys.sorted() } }
    var isReachable: Bool {
        get { state.withLock { $0.isReachable } }
        set { state.withLock { $0.isReachable = newValue } }
    }

    subscript(_ id: String) -> Pod? { state.withLock { $0.pods[id] } }

    // MARK: What a server asks for

    func apply(_ pod: Pod) {
        state.withLock { $0.pods[pod.id] = pod }
        Task { await start(pod.id) }
    }

    /// Removes a pod; no watch hears an end of it.
    func delete(_ id: String) async {
        let pod = state.withLock { $0.pods.removeValue(forKey: id) }
        await pod?.sidecar?.stop()
        changed()
    }

    func pods(labelled key: String, _ value: String) -> [Pod] {
        state.withLock { $0.pods.values.filter { $0.labels[key] == value } }
    }

    func watch() -> AsyncStream<WatchEvent> {
        let (events, teller) = AsyncStream<WatchEvent>.makeStream()
        state.withLock { $0.watches.append(teller) }
        return events
    }

    /// A word for every change of any pod, for whoever asks then.
    func changes() -> AsyncStream<Void> {
        let (words, teller) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        state.withLock { $0.waiting.append(teller) }
        return words
    }

    // MARK: What happens to pods

    /// The sidecar has the policy before the sandbox runs, as an init container would.
    private func start(_ id: String) async {
        await kubelet.pass()
        guard let pod = self[id], let sidecar = try? await SidecarServer(of: id, pod.policy, token: pod.token) else {
            return
        }
        let started = state.withLock { state -> Pod? in
            state.pods[id]?.sidecar = sidecar
            state.pods[id]?.phase = .running
            return state.pods[id]
        }
        guard let started else { return await sidecar.stop() }
        tell(.modified(started))
    }

    func end(_ id: String, _ end: EntrypointEnd, isOutOfMemory: Bool = false) {
        let ended = state.withLock { state in
            state.pods[id]?.phase = .ended(end, isOutOfMemory: isOutOfMemory)
            return state.pods[id]
        }
        if let ended { tell(.modified(ended)) }
    }

    /// As when a node dies.
    func evict(_ id: String) async {
        guard let pod = state.withLock({ $0.pods.removeValue(forKey: id) }) else { return }
        await pod.sidecar?.stop()
        tell(.deleted(pod))
    }

    // MARK: Watches

    func deliver(_ delivery: Delivery) { state.withLock { $0.delivery = delivery } }

    /// News that were held come now, however old.
    func release() {
        let (held, watches) = state.withLock { state in
            defer { (state.held, state.delivery) = ([], .prompt) }
            return (state.held, state.watches)
        }
        for event in held { for watch in watches { watch.yield(event) } }
    }

    func breakWatches() { for watch in state.withLock({ $0.watches }) { watch.yield(.gone) } }

    private func tell(_ event: WatchEvent) {
        let (times, watches) = state.withLock { state in
            if state.delivery == .held { state.held.append(event) }
            let times = [Delivery.prompt: 1, .doubled: 2][state.delivery] ?? 0
            return (times, state.watches)
        }
        for _ in 0..<times { for watch in watches { watch.yield(event) } }
        changed()
    }

    private func changed() { for waiting in state.withLock({ $0.waiting }) { waiting.yield() } }
}
