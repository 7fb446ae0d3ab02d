@testable import Ingress
@testable import SecureAccess

/// What a client says about where it wants to go.
enum IngressFuzz {
    /// What is left of a target for the sandbox is a path, and the end of what came in.
    static func route(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let route = Route.parse(uri: text) else { return }
        check(route)
        for target in [route.target, route.unsignedTarget].compactMap({ $0 }) {
            promise(target.first == "/", "the target is no path")
            promise(text.hasSuffix(target.dropFirst()), "the target is none of what came in")
        }
    }

    static func label(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        for form in RouteToken.Form.allCases {
            guard let route = Route.parse(label: text[...], in: form, target: "/") else { continue }
            check(route)
            let written = route.token.map(\.text) ?? "\(route.sandbox)-\(route.port)"
            promise(written == text, "\(text) is not the one form of \(written)")
        }
    }

    /// A token has one form: none can be changed into another that holds.
    static func token(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let token = try? RouteToken(text) else { return }
        promise(token.text == text, "\(text) is not the one form of \(token.text)")
        promise((1...65535).contains(token.port), "no port")
    }

    private static func check(_ route: Route) {
        promise(Route.isSandboxID(route.sandbox), "\(route.sandbox) is no sandbox's id")
        promise((1...65535).contains(route.port), "\(route.port) is no port")
        promise(route.token.map { $0.sandbox == route.sandbox && $0.port == route.port } ?? true, "for another sandbox")
    }
}
