import CLinux
import Glibc

/// A pipe for splice(2), which moves bytes between sockets without copying them.
struct Pipe {
    var input: CInt
    var output: CInt

    func close() {
        Glibc.close(input)
        Glibc.close(output)
    }
}

/// Empty pipes for reuse. A flow holds a pipe only while bytes are in it, so an idle flow takes just two descriptors.
final class PipePool {
    /// The size of a pipe in bytes: what one turn of a busy flow moves.
    static let capacity = 1 << 20
    /// The most pipes that are kept.
    static let kept = 16

    private var free: [Pipe] = []

    deinit { for pipe in free { pipe.close() } }

    /// nil if no descriptors are left.
    func take() -> Pipe? {
        if let pipe = free.popLast() { return pipe }
        var ends: [CInt] = [-1, -1]
        guard linux_pipe(&ends) == 0 else { return nil }
        linux_pipe_resize(ends[1], CInt(Self.capacity))
        return Pipe(input: ends[1], output: ends[0])
    }

    /// - Precondition: the pipe is empty.
    func give(_ pipe: Pipe) {
        if free.count < Self.kept { free.append(pipe) } else { pipe.close() }
    }
}
