import FoundationEssentials

/// A static secret that opens the endpoints of one sandbox: 256 random bits, as the `OpenSandbox-Secure-Access` header.
public enum EndpointCredential {
    public static let header = "OpenSandbox-Secure-Access"

    /// A new credential in URL-safe Base64, and the hash by which it is recognised.
    public static func generate() -> (plain: String, hash: [UInt8]) {
        let plain = text(SecureRandom.bytes(32))
        return (plain, hash(plain))
    }

    private static func text(_ bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    /// The credential of one sandbox, derived from a server's key: nothing has to be stored, and a new epoch makes every
    /// earlier one worthless.
    public static func derive(sandbox: String, epoch: Int, key: [UInt8]) -> String {
        text(HMACSHA256.of(Array("endpoint-credential\n\(sandbox)\n\(epoch)\n".utf8), key: key))
    }

    /// What a sandbox's execd asks for: known to the gateway and to nobody in the sandbox but its root.
    public static func deriveExecdToken(sandbox: String, key: [UInt8]) -> String {
        text(HMACSHA256.of(Array("execd-token\n\(sandbox)\n".utf8), key: key))
    }

    public static func hash(_ plain: String) -> [UInt8] { SHA256Digest.of(Array(plain.utf8)) }

    public static func matches(_ presented: String, hash: [UInt8]) -> Bool {
        ConstantTime.areEqual(SHA256Digest.of(Array(presented.utf8)), hash)
    }
}
