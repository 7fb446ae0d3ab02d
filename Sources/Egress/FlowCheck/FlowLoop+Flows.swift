import CLinux
import Glibc
import NetworkPolicy
import System

/// How a flow is handled: accepted, its name read and judged, dialled, relayed, ended.
extension FlowLoop {
    /// Milliseconds for which a refused client may read its answer.
    private static let farewell: UInt64 = 1000
    private static let acceptsATurn = 64

    /// - Returns: false where no descriptors are left.
    func accept(_ listener: CInt, _ number: UInt64, isIPv4: Bool) -> Bool {
        for _ in 0..<Self.acceptsATurn {
            let descriptor = linux_accept_nonblocking(listener)
            guard descriptor >= 0 else { return errno != EMFILE && errno != ENFILE }
            guard let sandbox = sandboxes[number],
                let target = FlowSockets.target(of: descriptor, isIPv4: isIPv4)
            else {
                FlowSockets.abort(descriptor)
                continue
            }
            let limit = checker.settings.flowsPerSandbox
            guard sandbox.count < limit, flows.count < maxFlows else {
                let source = FlowSockets.source(of: descriptor)
                FlowSockets.abort(descriptor)
                let event = FlowEvent(target: target, source: source, refusal: .tooManyFlows(limit: limit))
                sandbox.registered.policy.record(event)
                continue
            }
            FlowSockets.prepare(descriptor)
            let flow = CheckedFlow(number: nextFlow, sandbox: number, target: target, client: descriptor)
            nextFlow += 1
            flows[flow.number] = flow
            sandboxes[number]!.count += 1
            setDeadline(flow, after: checker.settings.openingTime)
            look(at: flow)
        }
        return true
    }

    func serve(_ flow: CheckedFlow, isClient: Bool, _ events: UInt32) {
        // An earlier event has ended the flow.
        guard flows[flow.number] === flow else { return }
        let descriptor = isClient ? flow.client.descriptor : flow.server!.descriptor
        if events & LINUX_EPOLLERR != 0, FlowSockets.error(of: descriptor) != 0 {
            return end(flow, orderly: false)
        }
        switch flow.phase {
        case .opening(var opening): read(flow, &opening)
        case .dialling:
            guard !isClient else {
                // The client has gone, and nothing was sent yet.
                if events & LINUX_EPOLLHUP != 0 { end(flow, orderly: false) }
                return
            }
            flow.phase = .relaying
            setDeadline(flow, after: flow.kind == .tls ? checker.settings.answerTime : nil)
            relay(flow, up: true, down: true)
        case .relaying:
            let isReadable = events & ~LINUX_EPOLLOUT != 0, isWritable = events & LINUX_EPOLLOUT != 0
            relay(flow, up: isClient ? isReadable : isWritable, down: isClient ? isWritable : isReadable)
        case .leaving: drain(flow)
        }
    }

    func isLate(_ flow: CheckedFlow) {
        if case .opening = flow.phase { return refuse(flow, .tooSlow) }
        end(flow, orderly: false)
    }

    // MARK: Opening

    private func read(_ flow: CheckedFlow, _ opening: inout FlowOpening) {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = recv(flow.client.descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        guard count > 0 else {
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            return end(flow, orderly: count == 0)
        }
        do throws(FlowRefusal) {
            // Release the phase's copy, so that the opening is not copied when it grows.
            flow.phase = .opening(FlowOpening())
            defer { flow.kind = opening.kind }
            let said = try opening.append(bytes[..<count])
            flow.phase = .opening(opening)
            guard let said else { return }
            flow.name = said.name
            try begin(flow, said, opening)
        } catch {
            refuse(flow, error)
        }
    }

    private func begin(_ flow: CheckedFlow, _ said: FlowOpening.Said, _ opening: FlowOpening) throws(FlowRefusal) {
        guard let sandbox = sandboxes[flow.sandbox]?.registered else { return }
        flow.kind = opening.kind
        if case .request(let head) = said, let port = head.port, port != flow.target.port { throw .otherPort(port) }
        try flow.prepare(said, rest: opening.rest, opening: opening.bytes)
        let entered = try sandbox.flows.enter(flow.number) { () throws(FlowRefusal) in
            if let refusal = sandbox.policy.refusal(said.name, flow.target) { throw refusal }
            let descriptor = inside(sandbox.entrance.namespace) {
                FlowSockets.connecting(to: flow.target, mark: checker.mark)
            }
            guard let descriptor, descriptor >= 0 else { return nil }
            return OpenFlows.Flow(
                name: said.name, target: flow.target, client: flow.client.descriptor, server: descriptor)
        }
        guard let entered else { return end(flow, orderly: false) }
        flow.server = CheckedFlow.Side(descriptor: entered.server)
        flow.phase = .dialling
        setDeadline(flow, after: checker.settings.answerTime)
        sandbox.policy.record(FlowEvent(target: flow.target, kind: flow.kind, name: flow.name))
        look(at: flow)
    }

    private func refuse(_ flow: CheckedFlow, _ refusal: FlowRefusal) {
        sandboxes[flow.sandbox]?.registered.policy.record(
            FlowEvent(
                target: flow.target, source: FlowSockets.source(of: flow.client.descriptor), kind: flow.kind,
                name: flow.name, refusal: refusal))
        let answer = refusal.answer(to: flow.kind, name: flow.name)
        guard !answer.isEmpty, flow.server == nil else { return end(flow, orderly: false) }
        // Nothing has been sent on the socket yet, so this fits its buffer.
        send(flow.client.descriptor, answer, answer.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        shutdown(flow.client.descriptor, Int32(SHUT_WR))
        flow.phase = .leaving
        setDeadline(flow, after: Self.farewell)
        drain(flow)
    }

    private func drain(_ flow: CheckedFlow) {
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        let count = recv(flow.client.descriptor, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { return end(flow, orderly: true) }
        look(at: flow)
    }

    // MARK: Relaying

    private func relay(_ flow: CheckedFlow, up: Bool, down: Bool) {
        let client = flow.client.descriptor, server = flow.server!.descriptor
        do throws(FlowRefusal) {
            var up = up
            if down {
                guard try flow.down.pump(from: server, to: client, pipes) else { return end(flow, orderly: false) }
            }
            if let greeting = flow.down.heard {
                flow.down.heard = nil
                setDeadline(flow, after: nil)
                try flow.hear(greeting)
                up = true
            }
            if up {
                guard try flow.up.pump(from: client, to: server, pipes) else { return end(flow, orderly: false) }
            }
        } catch {
            return refuse(flow, error)
        }
        if flow.isComplete { return end(flow, orderly: true) }
        look(at: flow)
    }

    /// Registers for the events that the flow needs next, and no others.
    private func look(at flow: CheckedFlow) {
        var client: UInt32 = 0, server: UInt32 = 0
        switch flow.phase {
        case .opening, .leaving: client = LINUX_EPOLLIN
        case .dialling: server = LINUX_EPOLLOUT
        case .relaying:
            client = (flow.up.wantsToRead ? LINUX_EPOLLIN : 0) | (flow.down.wantsToWrite ? LINUX_EPOLLOUT : 0)
            server = (flow.down.wantsToRead ? LINUX_EPOLLIN : 0) | (flow.up.wantsToWrite ? LINUX_EPOLLOUT : 0)
        }
        set(&flow.client, client, .client(flow), isShut: flow.down.isEnded)
        if flow.server != nil { set(&flow.server!, server, .server(flow), isShut: flow.up.isEnded) }
    }

    /// - Parameter isShut: whether nothing more is sent there. Such a socket keeps reporting its end, wanted or not.
    private func set(_ side: inout CheckedFlow.Side, _ interest: UInt32, _ source: Source, isShut: Bool) {
        if interest == 0, isShut {
            if let token = side.token {
                forget(token)
                poll.remove(side.descriptor)
                side.token = nil
            }
        } else if let token = side.token {
            if side.interest != interest { poll.modify(side.descriptor, interest, token: token) }
        } else {
            side.token = watch(side.descriptor, source, interest)
        }
        side.interest = interest
    }

    // MARK: The end

    /// - Parameter orderly: whether pending data is delivered; else both sides are reset.
    func end(_ flow: CheckedFlow, orderly: Bool) {
        guard flows.removeValue(forKey: flow.number) != nil else { return }
        setDeadline(flow, after: nil)
        sandboxes[flow.sandbox]?.count -= 1
        // Remove it from the shared list first: a revocation must not act on a descriptor that has been reused.
        sandboxes[flow.sandbox]?.registered.flows.leave(flow.number)
        for side in [flow.client, flow.server].compactMap(\.self) {
            if let token = side.token { forget(token) }
            if orderly { close(side.descriptor) } else { FlowSockets.abort(side.descriptor) }
        }
        flow.up.close()
        flow.down.close()
    }
}
