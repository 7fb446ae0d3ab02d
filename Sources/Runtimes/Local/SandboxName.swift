import COpenSSL

/// A sandbox's name where all users of the machine can see it: in mounts, control groups and command lines. It is not
/// the id, because knowing an id is enough to reach unsigned ports, and the id cannot be derived from it. `printf %s ID
/// | sha256sum | head -c 32`
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
