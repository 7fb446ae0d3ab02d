/// The UDP sockets to one upstream. Each is connected, so that the kernel drops datagrams from anybody else. A query is
/// sent through a random one, and sockets are replaced after some use, so that forging an answer means guessing both
/// port and id (RFC 5452).
struct UpstreamPorts {
    static let width = 8
    static let usesBeforeReplacement = 512
    /// How many replaced sockets stay open for answers under way.
    static let maxLeaving = 8

    struct Port: Hashable {
        var descriptor: CInt
        /// Never reused, unlike the descriptor.
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
        /// Whether it was just opened.
        var isNew = false
        /// An old socket that the caller has to close.
        var outgrown: CInt?
    }

    /// - Parameter socketID: the last number given out; increased if a new socket is opened.
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
