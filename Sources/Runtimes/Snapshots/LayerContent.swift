import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Copies what is in files: shared where the file system can (btrfs, XFS), else by the kernel, else through memory. Holes
/// stay holes.
struct LayerContent: ~Copyable {
    /// Whether the two file systems can do it, as far as is known.
    private var canShare = true
    private var canCopyInKernel = true
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)

    /// How many bytes are copied between two calls of `goesOn`.
    private static let chunk: Int64 = 16 << 20
    private static let (seekData, seekHole): (CInt, CInt) = (3, 4)
    /// What file systems say that cannot share, or are not one.
    private static let neverShare: Set<CInt> = [EOPNOTSUPP, EXDEV, ENOTTY, ENOSYS]

    deinit { buffer.deallocate() }

    /// - Parameters:
    ///   - to: an empty file.
    ///   - size: how much of it counts, so that a file that grows ends.
    ///   - goesOn: called from time to time; it throws to give up.
    mutating func copy(
        from: CInt, to: CInt, size: Int64, goesOn: () throws(RuntimeError) -> Void
    ) throws(RuntimeError) {
        guard size > 0 else { return }
        if canShare {
            let code = -linux_share_content(from, to)
            guard code != 0 else { return }
            // Any other error is about this file alone, such as one of btrfs that has no sums (chattr +C): it is copied, and the
            // next one is shared again.
            if Self.neverShare.contains(code) { canShare = false }
        }
        guard ftruncate(to, off_t(size)) == 0 else { throw Self.failure() }
        var position: Int64 = 0
        while position < size {
            let start = Int64(lseek(from, off_t(position), Self.seekData))
            // Nothing but a hole follows.
            if start < 0 && errno == ENXIO { break }
            let end = min(Int64(lseek(from, off_t(start), Self.seekHole)), size)
            guard start >= 0, end >= 0 else { throw Self.failure() }
            position = max(start, position)
            while position < end {
                let count = try copyOnce(from, to, at: position, min(end - position, Self.chunk))
                guard count > 0 else { return }
                position += count
                try goesOn()
            }
        }
    }

    /// - Returns: how many bytes were copied; 0 at the end of the file.
    private mutating func copyOnce(
        _ from: CInt, _ to: CInt, at offset: Int64, _ count: Int64
    ) throws(RuntimeError) -> Int64 {
        if canCopyInKernel {
            let copied = Int64(linux_copy_range(from, to, offset, Int(count)))
            if copied >= 0 { return copied }
            guard [EXDEV, EOPNOTSUPP, ENOSYS, EINVAL].contains(CInt(-copied)) else { throw Self.failure(CInt(-copied)) }
            canCopyInKernel = false
        }
        let read = pread(from, buffer.baseAddress, min(buffer.count, Int(count)), off_t(offset))
        guard read >= 0 else { throw Self.failure() }
        var written = 0
        while written < read {
            let count = pwrite(to, buffer.baseAddress! + written, read - written, off_t(offset) + off_t(written))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Self.failure() }
            written += count
        }
        return Int64(read)
    }

    private static func failure(_ code: CInt = errno) -> RuntimeError {
        .system(action: "copying a file", reason: String(cString: strerror(code)))
    }
}
