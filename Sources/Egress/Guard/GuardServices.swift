import DNSFilter

/// What serves all guards of one process: the DNS filter and the flow check, each with one thread.
final class GuardServices: Sendable {
    let dns: DNSServer
    /// `nil` if flows are not checked.
    let flowChecker: FlowChecker?

    /// - Parameter mark: marks the packets of the flow check itself.
    init(dns: DNSConfiguration, flowCheck: FlowCheckSettings?, mark: SocketMark = .random()) throws {
        self.dns = try DNSServer(configuration: dns)
        flowChecker = try flowCheck.map { try FlowChecker($0, mark: mark) }
    }

    /// Starts the threads. Namespaces may be guarded before or after.
    func start() throws {
        try dns.start()
        try flowChecker?.start()
    }

    /// Stops answering names and ends checked flows. The rules stay in the kernel.
    func stop() {
        dns.stop()
        flowChecker?.stop()
    }
}
