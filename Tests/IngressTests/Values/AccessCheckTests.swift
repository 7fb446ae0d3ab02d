import NIOHTTP1
import SecureAccess
import Testing

@testable import Ingress

@Suite struct AccessCheckTests {
    private let check = AccessCheck(keys: testKeys) { 1000 }
    private let credential = EndpointCredential.generate()
    private var right: HTTPHeaders { ["opensandbox-secure-access": credential.plain] }
    private let wrong: HTTPHeaders = ["opensandbox-secure-access": "wrong"]
    private func token(_ expires: UInt64) -> RouteToken {
        RouteToken.mint(sandbox: "s", port: 80, expires: expires, keys: testKeys)
    }

    @Test func `a credential or a signature opens, and whatever is presented must be true`() {
        func permits(_ headers: HTTPHeaders, _ token: RouteToken?) -> Bool {
            check.permits(headers, token: token, credentialHash: credential.hash)
        }
        #expect(permits(right, nil) && permits([:], token(1000)) && permits(right, token(1000)))
        #expect(!permits([:], nil) && !permits(wrong, nil) && !permits([:], token(999)))
        #expect(!permits(wrong, token(1000)))
        #expect(!permits(right, token(999)))
        var twice = right
        twice.add(name: "OpenSandbox-Secure-Access", value: credential.plain)
        #expect(!permits(twice, nil))
    }

    @Test func `an open sandbox is open, but not to a false signature`() {
        #expect(check.permits([:], token: nil, credentialHash: nil))
        #expect(!check.permits([:], token: token(999), credentialHash: nil))
    }

    @Test func `without keys no signature is valid`() {
        let keyless = AccessCheck(keys: nil) { 0 }
        #expect(!keyless.permits([:], token: token(1000), credentialHash: credential.hash))
        #expect(keyless.permits(right, token: nil, credentialHash: credential.hash))
    }

    @Test func `only a genuine token learns that a sandbox is not there`() {
        #expect(check.permitsUnknown([:], token: token(1000)))
        #expect(!check.permitsUnknown([:], token: nil) && !check.permitsUnknown(right, token: nil))
    }
}
