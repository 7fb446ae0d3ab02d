import NIOCore

/// Two connections after a change of protocol: bytes go from each to the other, and so does the end of each direction.
enum Tunnel {
    static func start(client: ClientConnection, backend: BackendConnection, limits: ProxyLimits) {
        guard let clientChannel = client.context?.channel, let backendChannel = backend.context?.channel else {
            return client.abort()
        }
        let near = TunnelEnd(limits: limits)
        let far = TunnelEnd(limits: limits)
        near.peer = far
        client.tunnel = near
        far.peer = near
        do {
            try client.carrier.insert(near, into: clientChannel)
            try backendChannel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
            try backendChannel.pipeline.syncOperations.addHandler(far, position: .first)
        } catch {
            clientChannel.close(promise: nil)
            backendChannel.close(promise: nil)
            return
        }
        let fromBackend = backend.leftovers()
        client.switchProtocols().assumeIsolated().whenComplete { result in
            guard case .success(let fromClient) = result else {
                near.end()
                far.end()
                return
            }
            near.open(with: fromClient)
            far.open(with: fromBackend)
        }
    }
}

/// One end of a tunnel, in front of all that knows HTTP: the HTTP handlers behind it see nothing more.
final class TunnelEnd: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let limits: ProxyLimits
    var peer: TunnelEnd?
    /// Bytes that have come and gone at this end.
    private(set) var received = 0
    private(set) var sent = 0
    private var context: ChannelHandlerContext?
    private var isOpen = false
    private var inputClosed = false
    private var held: [ByteBuffer] = []
    private var isEnding = false
    private lazy var deadline = context.map { Deadline($0.eventLoop) { [weak self] in self?.expired() } }

    init(limits: ProxyLimits) {
        self.limits = limits
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.clear()
        self.context = nil
    }

    /// Bytes in front of what came since the protocol changed go first.
    func open(with leftovers: [ByteBuffer]) {
        isOpen = true
        for bytes in leftovers { received &+= bytes.readableBytes }
        for bytes in leftovers + held { peer?.send(bytes) }
        held = []
        peer?.flush()
        if inputClosed { peer?.closeOutput() }
        if let context {
            deadline?.set(limits.streamTimeout)
            readIfTaken(context)
        } else {
            peer?.end()
        }
    }

    private func send(_ bytes: ByteBuffer) {
        sent &+= bytes.readableBytes
        context?.write(wrapOutboundOut(bytes), promise: nil)
    }

    private func flush() {
        context?.flush()
        let isWritable = context?.channel.isWritable ?? true
        deadline?.set(isWritable ? limits.streamTimeout : limits.stallTimeout)
    }

    private func closeOutput() { context?.close(mode: .output, promise: nil) }

    /// Closes when what was sent is on its way.
    func end() {
        guard let context else { return }
        deadline?.set(limits.lingerTimeout)
        isEnding = true
        context.close(mode: .output, promise: nil)
    }

    private func expired() { context?.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        received &+= bytes.readableBytes
        if isOpen { peer?.send(bytes) } else { held.append(bytes) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard isOpen else { return }
        peer?.flush()
        if !isEnding { deadline?.set(limits.streamTimeout) }
        readIfTaken(context)
    }

    func read(context: ChannelHandlerContext) { readIfTaken(context) }

    private func readIfTaken(_ context: ChannelHandlerContext) {
        guard isOpen, peer?.context?.channel.isWritable ?? true else { return }
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable else { return }
        deadline?.set(limits.streamTimeout)
        if let peer, let other = peer.context { peer.readIfTaken(other) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event as? ChannelEvent == .inputClosed else { return context.fireUserInboundEventTriggered(event) }
        inputClosed = true
        if isOpen { peer?.closeOutput() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.clear()
        if isOpen {
            peer?.end()
            peer?.peer = nil
            peer = nil
        }
        self.context = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
