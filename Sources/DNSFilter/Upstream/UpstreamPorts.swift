/// The UDP sockets towards one upstream. Each is connected, so that the kernel drops what comes from anybody else; a
/// query goes out by a random one, and a socket is replaced by one with another port after some use: who wants to forge
/// an answer has to guess port and number (RFC 5452).
struct UpstreamPorts {
    static let width = 8
    static let usesBeforeReplacement = 512
    /// Replaced sockets that are still listened to, for answers on their way.
    static let maxLeaving = 8

    struct Port: Hashable {
        var descriptor: CInt
        /// Never used again, unlike the descriptor.
        var socketID: UInt64
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

    /// A socket to send on.
    struct Pick {
        var port: Port
        /// Nothing waits in it yet.
        var isNew = false
        /// A socket that is used no more, to be closed.
        var outgrown: CInt?
    }

    /// - Parameter socketID: the number that a new socket gets.
    mutating func pick(using random: inout some RandomNumberGenerator, socketID: inout UInt64) -> Pick? {
        if ports.count < Self.width {
            guard let port = open(&socketID) else { return ports.randomElement(using: &random).map { Pick(port: $0) } }
            ports.append(port)
            return Pick(port: port, isNew: true)
        }
        let index = Int.random(in: 0..<ports.count, using: &random)
        if ports[index].uses >= Self.usesBeforeReplacement, let port = open(&socketID) {
            leaving.append(ports[index])
            ports[index] = port
            let outgrown = leaving.count > Self.maxLeaving ? leaving.removeFirst().descriptor : nil
            return Pick(port: port, isNew: true, outgrown: outgrown)
        }
        ports[index].uses += 1
        return Pick(port: ports[index])
    }

    private func open(_ socketID: inout UInt64) -> Port? {
        guard let descriptor = Sockets.connected(to: upstream, stream: false, mark: mark) else { return nil }
        socketID += 1
        return Port(descriptor: descriptor, socketID: socketID)
    }
}
