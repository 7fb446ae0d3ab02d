import CLinux
import Glibc

/// A pipe for splice(2), which moves bytes between sockets without copying them. Its ends are closed with it.
final class Pipe {
    let input: CInt
    let output: CInt

    /// nil if no descriptors are left.
    init?(capacity: Int) {
        var ends: [CInt] = [-1, -1]
        guard linux_pipe(&ends) == 0 else { return nil }
        (output, input) = (ends[0], ends[1])
        linux_pipe_resize(input, CInt(capacity))
    }

    deinit {
        close(input)
        close(output)
    }
}

/// Empty pipes for reuse. A flow holds a pipe only while bytes are in it, so an idle flow takes just two descriptors.
final class PipePool {
    /// The size of a pipe in bytes: what one turn of a busy flow moves.
    static let capacity = 1 << 20
    /// The most pipes that are kept.
    static let kept = 16

    private var free: [Pipe] = []

    /// nil if no descriptors are left.
    func take() -> Pipe? { free.popLast() ?? Pipe(capacity: Self.capacity) }

    /// - Precondition: the pipe is empty.
    func give(_ pipe: Pipe) { if free.count < Self.kept { free.append(pipe) } }
}
