import FoundationEssentials

/// A static secret that opens the endpoints of one sandbox: 256 random bits, as the `OpenSandbox-Secure-Access` header.
public enum EndpointCredential {
    public static let header = "OpenSandbox-Secure-Access"

    /// A new credential in URL-safe Base64, and the hash by which it is recognised.
    public static func generate() -> (plain: String, hash: [UInt8]) {
        let plain = Data(SecureRandom.bytes(32)).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
        return (plain, hash(plain))
    }

    public static func hash(_ plain: String) -> [UInt8] { SHA256Digest.of(Array(plain.utf8)) }

    public static func matches(_ presented: String, hash: [UInt8]) -> Bool {
        ConstantTime.areEqual(SHA256Digest.of(Array(presented.utf8)), hash)
    }
}
