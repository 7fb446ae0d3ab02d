import FoundationEssentials
import System

/// A static secret that opens the endpoints of one sandbox: 256 random bits, as the `OpenSandbox-Secure-Access` header.
public enum EndpointCredential {
    public static let header = "OpenSandbox-Secure-Access"

    /// A new credential in URL-safe Base64, and the hash to check it by.
    public static func generate() -> (plain: String, hash: [UInt8]) {
        let plain = text(SecureRandom.bytes(32))
        return (plain, hash(plain))
    }

    private static func text(_ bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    /// The credential of one sandbox, derived from the server's key, so that none is stored. A new epoch invalidates
    /// all earlier ones.
    public static func derive(sandbox: String, epoch: Int, key: [UInt8]) -> String {
        text(HMACSHA256.of(Array("endpoint-credential\n\(sandbox)\n\(epoch)\n".utf8), key: key))
    }

    /// The token of a sandbox's execd. In the sandbox only root can read it.
    public static func deriveExecdToken(sandbox: String, key: [UInt8]) -> String {
        text(HMACSHA256.of(Array("execd-token\n\(sandbox)\n".utf8), key: key))
    }

    public static func hash(_ plain: String) -> [UInt8] { SHA256Digest.of(Array(plain.utf8)) }

    public static func matches(_ presented: String, hash: [UInt8]) -> Bool {
        ConstantTime.areEqual(SHA256Digest.of(Array(presented.utf8)), hash)
    }
}
