import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What the loop reads and writes, on its thread.
extension ProcessLoop {
    /// Reads once, and of a terminal all that is there up to the size of the buffer, since it gives 4 KiB at a time.
    /// Closes a pipe at its end.
    @discardableResult
    func read(_ stream: OutputStream, _ number: UInt64, _ running: inout [UInt64: Running]) -> Bool {
        guard let pipe = running[number]?.pipes[stream], let size = running[number]?.readSize else { return false }
        var length = 0, filled = 0
        repeat {
            length = Glibc.read(pipe, space.baseAddress! + filled, size - filled)
            filled += max(length, 0)
        } while stream == .terminal && length > 0 && filled < size
        let code = errno
        if filled > 0 {
            let bytes = UnsafeRawBufferPointer(rebasing: space[..<filled])
            if let output = running[number]?.output {
                output(stream, bytes)
            } else {
                running[number]?.deliver(.output(stream, [UInt8](bytes)))
            }
            if length > 0 {
                if filled == size, stream != .terminal { widen(pipe, number, &running) }
                return true
            }
        }
        if length == 0 || (code != EAGAIN && code != EINTR) {
            // By name, since another descriptor of the same open file would keep it in the set.
            poll.remove(pipe)
            close(pipe)
            running[number]?.pipes[stream] = nil
        }
        return false
    }

    /// Of a process that writes more than its pipe holds, pipes are made larger and more is read at once: it and its readers change
    /// places less often.
    private func widen(_ pipe: CInt, _ number: UInt64, _ running: inout [UInt64: Running]) {
        guard running[number]?.widened.insert(pipe).inserted == true else { return }
        // Where it may not be, it stays as it is.
        linux_pipe_resize(pipe, CInt(Self.largeRead))
        running[number]?.readSize = Self.largeRead
    }

    /// Bytes read at once: as much as a pipe holds.
    static let usualRead = 64 << 10, largeRead = 256 << 10

    /// The most reads of a pipe after its process has ended. It holds no more than is read at once, but others may go on writing.
    static let maxReadAtEnd = 64

    /// Reads what is there by now. Others may go on writing, as fast as it is read.
    func drain(_ number: UInt64, _ running: inout [UInt64: Running]) {
        for stream in [OutputStream.standardOutput, .standardError, .terminal] {
            guard let pipe = running[number]?.pipes[stream], let size = running[number]?.readSize else { continue }
            var unread: CInt = 0
            // Of a terminal's some may be on its way.
            let isKnown = stream != .terminal && ioctl(pipe, UInt(FIONREAD), &unread) == 0
            let reads = isKnown ? Int(max(0, unread)) / size + 1 : Self.maxReadAtEnd
            for _ in 0..<min(reads, Self.maxReadAtEnd) {
                guard read(stream, number, &running) else { break }
            }
        }
    }

    func write(_ bytes: [UInt8], _ number: UInt64, _ running: inout [UInt64: Running]) {
        guard let process = running[number] else { return }
        guard process.wires.input >= 0 else { return process.deliver(.refusedInput) }
        running[number]?.queue.append(bytes)
        // If some waited before, the descriptor is waited for already.
        if process.queue.isEmpty { flush(number, &running) }
    }

    /// Writes what waits, as far as it is read.
    func flush(_ number: UInt64, _ running: inout [UInt64: Running]) {
        guard let input = running[number]?.wires.input, input >= 0, let deliver = running[number]?.deliver else {
            return
        }
        let wasWaiting = running[number]?.isWaitingToWrite == true
        guard let (taken, outcome) = running[number]?.queue.flush({ Glibc.write(input, $0.baseAddress, $0.count) })
        else {
            return
        }
        // In the set only while something waits: the end of a pipe without a reader would be reported without end.
        if outcome == .waits, !wasWaiting {
            poll.add(input, LINUX_EPOLLOUT, token: Slot.input.token(number))
        } else if outcome != .waits, wasWaiting {
            poll.remove(input)
        }
        running[number]?.isWaitingToWrite = outcome == .waits
        if outcome == .empty, running[number]?.inputEnds == true { running[number]?.wires.closeInput() }
        if taken > 0 { deliver(.took(taken)) }
        if outcome == .refused { deliver(.refusedInput) }
    }

    /// Drops what waits, and what the process has not read of its control channel.
    func discardInput(_ channel: ControlChannel, _ number: UInt64, _ running: inout [UInt64: Running]) {
        _ = running[number]?.queue.discard()
        flush(number, &running)
        channel.discardUnread()
    }

    /// As the key of a terminal would: input that has not been read yet is dropped with INT and QUIT.
    func signalForeground(_ signal: CInt, _ number: UInt64, _ running: inout [UInt64: Running]) {
        guard let process = running[number] else { return }
        guard let master = process.pipes[.terminal] else {
            kill(-process.pid, signal)
            return
        }
        if signal == SIGINT || signal == SIGQUIT, let dropped = running[number]?.queue.discard(), dropped > 0 {
            process.deliver(.took(dropped))
        }
        let foreground = linux_foreground_group(master)
        // No group is in the foreground when the one that was has ended and the shell has not taken its place yet.
        let group = foreground > 1 ? foreground : process.pid
        kill(-group, signal)
        // A group that is stopped would get it only when it goes on.
        if signal == SIGTERM || signal == SIGHUP { kill(-group, SIGCONT) }
    }
}
