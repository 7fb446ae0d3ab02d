/// The UDP sockets towards one upstream. Each is connected, so that the kernel drops what comes from anybody else; a
/// query goes out by a random one, and a socket is replaced by one with another port after some use: who wants to forge
/// an answer has to guess port and number (RFC 5452).
struct UpstreamPorts {
    static let width = 8
    static let usesBeforeReplacement = 512
    /// Replaced sockets that are still listened to, for answers on their way.
    static let mostLeaving = 8

    struct Port: Hashable {
        var descriptor: CInt
        /// Never used again, unlike the descriptor.
        var road: UInt64
        var uses = 1
    }

    let upstream: UpstreamAddress
    let mark: SocketMark?
    private var ports: [Port] = []
    private var leaving: [Port] = []

    init(upstream: UpstreamAddress, mark: SocketMark? = nil) {
        self.upstream = upstream
        self.mark = mark
    }

    /// A socket to send on. `opened` and `closing` let the caller watch the descriptors.
    /// - Parameter road: the number that a new socket gets.
    mutating func pick(
        using random: inout some RandomNumberGenerator, road: inout UInt64, opened: (Port) -> Void,
        closing: (CInt) -> Void
    ) -> Port? {
        if ports.count < Self.width {
            guard let port = open(&road) else { return ports.randomElement(using: &random) }
            opened(port)
            ports.append(port)
            return port
        }
        let index = Int.random(in: 0..<ports.count, using: &random)
        if ports[index].uses >= Self.usesBeforeReplacement, let port = open(&road) {
            opened(port)
            leaving.append(ports[index])
            if leaving.count > Self.mostLeaving { closing(leaving.removeFirst().descriptor) }
            ports[index] = port
            return port
        }
        ports[index].uses += 1
        return ports[index]
    }

    private func open(_ road: inout UInt64) -> Port? {
        guard let descriptor = Sockets.connected(to: upstream, stream: false, mark: mark) else { return nil }
        road += 1
        return Port(descriptor: descriptor, road: road)
    }
}
