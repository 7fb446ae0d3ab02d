import CLinux
import DNSFilter
import Glibc
import NetworkPolicy
import System

/// The checker's event loop. Used by one thread only, except for `OpenFlows`.
final class FlowLoop {
    struct Sandbox {
        var registered: FlowChecker.Sandbox
        var count = 0
        var tokens: [UInt64] = []
    }

    enum Source {
        case wakeUp
        case listener(CInt, sandbox: UInt64, isIPv4: Bool)
        case client(CheckedFlow)
        case server(CheckedFlow)
    }

    let checker: FlowChecker
    let poll: EventPoll
    /// The namespace of the thread, to which it comes back after each dial.
    private let home: FileDescriptor
    let pipes = PipePool()

    private var sources: [UInt64: Source] = [:]
    private var nextToken: UInt64 = 1
    var sandboxes: [UInt64: Sandbox] = [:]
    var flows: [UInt64: CheckedFlow] = [:]
    var nextFlow: UInt64 = 1
    /// For each flow, when it must have made progress.
    private var deadlines: [UInt64: UInt64] = [:]
    private var lastLook: UInt64 = 0
    private var pausedListeners: Set<UInt64> = []
    private var isRunning = true

    /// The most flows of all sandboxes. Each takes two descriptors; half of the process's descriptors are left for
    /// other uses.
    private(set) var maxFlows = 0

    private static let look: UInt64 = 250

    init(checker: FlowChecker) throws(SystemCallError) {
        self.checker = checker
        poll = try EventPoll()
        home = try FileDescriptor(opening: "/proc/thread-self/ns/net", O_RDONLY)
        maxFlows = Self.descriptors() / 4
        watch(checker.commands.descriptor, .wakeUp, LINUX_EPOLLIN)
    }

    func run() {
        linux_block_sigpipe()
        var events = EventPoll.events()
        while isRunning {
            let isTimed = !deadlines.isEmpty || !pausedListeners.isEmpty
            guard let count = try? poll.wait(&events, milliseconds: isTimed ? CInt(Self.look) : -1) else { break }
            for event in events.prefix(count) { handle(event.data, event.events) }
            lookAtDeadlines()
        }
        for number in sandboxes.keys { remove(number) }
    }

    /// The process's limit of descriptors, after raising it as far as allowed.
    private static func descriptors() -> Int {
        var limit = rlimit()
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(kind, &limit) == 0 else { return 1024 }
        limit.rlim_cur = limit.rlim_max
        setrlimit(kind, &limit)
        guard getrlimit(kind, &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }

    func now() -> UInt64 { SystemClock.monotonicMilliseconds() }

    // MARK: Descriptors

    /// Each registration gets a unique number, so that a late event is never applied to a reused descriptor.
    @discardableResult
    func watch(_ descriptor: CInt, _ source: Source, _ events: UInt32) -> UInt64 {
        let token = nextToken
        nextToken += 1
        sources[token] = source
        poll.add(descriptor, events, token: token)
        return token
    }

    func forget(_ token: UInt64) { sources[token] = nil }

    private func handle(_ token: UInt64, _ events: UInt32) {
        switch sources[token] {
        case .wakeUp: for command in checker.commands.take() { obey(command) }
        case .listener(let descriptor, let sandbox, let isIPv4):
            if !accept(descriptor, sandbox, isIPv4: isIPv4) { pause(token, descriptor) }
        case .client(let flow): serve(flow, isClient: true, events)
        case .server(let flow): serve(flow, isClient: false, events)
        case nil: return
        }
    }

    // MARK: Sandboxes

    private func obey(_ command: FlowChecker.Command) {
        switch command {
        case .attach(let number, let registered):
            var sandbox = Sandbox(registered: registered)
            let listeners = registered.entrance.listeners
            for (descriptor, isIPv4) in [(listeners.ipv4, true), (listeners.ipv6, false)] {
                guard let descriptor else { continue }
                let source = Source.listener(descriptor, sandbox: number, isIPv4: isIPv4)
                sandbox.tokens.append(watch(descriptor, source, LINUX_EPOLLIN))
            }
            sandboxes[number] = sandbox
        case .detach(let number): remove(number)
        case .stop: isRunning = false
        }
    }

    private func remove(_ number: UInt64) {
        guard let leaving = sandboxes[number] else { return }
        for flow in flows.values.filter({ $0.sandbox == number }) { end(flow, orderly: false) }
        for token in leaving.tokens {
            forget(token)
            pausedListeners.remove(token)
        }
        // Closes its sockets.
        sandboxes[number] = nil
    }

    /// Runs `body` in a sandbox's namespace, and leaves again, since staying would keep the namespace alive.
    func inside<Result>(_ namespace: CInt?, _ body: () -> Result) -> Result? {
        guard let namespace else { return body() }
        guard linux_setns(namespace, LINUX_NEWNET) == 0 else { return nil }
        defer {
            let status = linux_setns(home.number, LINUX_NEWNET)
            precondition(status == 0, "the flow check's thread cannot leave a sandbox's namespace")
        }
        return body()
    }

    // MARK: Time

    func setDeadline(_ flow: CheckedFlow, after milliseconds: UInt64?) {
        deadlines[flow.number] = milliseconds.map { now() + $0 }
    }

    private func lookAtDeadlines() {
        guard !deadlines.isEmpty || !pausedListeners.isEmpty else { return }
        let present = now()
        guard present >= lastLook + Self.look else { return }
        lastLook = present
        for (number, deadline) in deadlines where deadline <= present {
            deadlines[number] = nil
            if let flow = flows[number] { isLate(flow) }
        }
        for token in pausedListeners {
            guard case .listener(let descriptor, _, _)? = sources[token] else { continue }
            poll.modify(descriptor, LINUX_EPOLLIN, token: token)
        }
        pausedListeners = []
    }

    /// No descriptors are left: pause accepting instead of spinning.
    private func pause(_ token: UInt64, _ descriptor: CInt) {
        poll.modify(descriptor, 0, token: token)
        pausedListeners.insert(token)
    }
}
