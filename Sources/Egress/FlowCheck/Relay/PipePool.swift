import CLinux
import Glibc

/// A pipe by which bytes go from one socket to another without being copied.
struct Pipe {
    var input: CInt
    var output: CInt

    func close() {
        Glibc.close(input)
        Glibc.close(output)
    }
}

/// Pipes that hold nothing now. A flow has one only while bytes wait in it: an idle flow is two descriptors.
final class PipePool {
    /// Bytes that a pipe can hold: what one turn of a busy flow moves.
    static let capacity = 1 << 20
    /// Pipes kept for later.
    static let kept = 16

    private var free: [Pipe] = []

    deinit { for pipe in free { pipe.close() } }

    /// nil where no descriptors are left.
    func take() -> Pipe? {
        if let pipe = free.popLast() { return pipe }
        var ends: [CInt] = [-1, -1]
        guard linux_pipe(&ends) == 0 else { return nil }
        linux_pipe_resize(ends[1], CInt(Self.capacity))
        return Pipe(input: ends[1], output: ends[0])
    }

    /// - Precondition: it is empty.
    func give(_ pipe: Pipe) {
        if free.count < Self.kept { free.append(pipe) } else { pipe.close() }
    }
}
