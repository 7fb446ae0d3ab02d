import COpenSSL

/// What a sandbox is called where every user of the machine can read it: in the kernel's list of mounts, in the control groups
/// of processes, on command lines. An id is half of what opens an unsigned port; from the name nobody gets to the id, which is
/// random. `printf %s ID | sha256sum | head -c 32`
enum SandboxName {
    private static let length = 32

    static func of(_ id: String) -> String {
        let bytes = Array(id.utf8)
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        SHA256(bytes, bytes.count, &digest)
        let digits = Array("0123456789abcdef")
        return String(digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }.prefix(length))
    }
}
