/// The kind of a signature, by its length.
enum SignatureKind: Int {
    case one = 9
    case label = 13
    case long = 27
    /// A long signature followed by a scope.
    case scoped = 28
    /// A cookie, made by a gateway for a browser that has shown a signed route.
    case cookie = 29

    var form: RouteToken.Form? {
        switch self {
        case .one: nil
        case .label: .label
        case .long, .scoped, .cookie: .long
        }
    }
    var bits: Int {
        switch self {
        case .one: 32
        case .label: 60
        case .long, .scoped, .cookie: 128
        }
    }
    /// The first lines of what is signed.
    var title: StaticString {
        switch self {
        case .one: "v1\nshort\n"
        case .label: "v2\nlabel\n"
        case .long: "v2\nlong\n"
        case .scoped: "v2\nscoped\n"
        case .cookie: "v2\ncookie\n"
        }
    }
    var alphabet: CodeAlphabet { self == .one ? .base16 : .base32 }

    /// The code and the byte of the key's id.
    func read(_ signature: UnsafeBufferPointer<UInt8>) -> (UInt128, UInt8)? {
        guard let key = signature.last, Base36.digit(key) != nil,
            let code = alphabet.number(UnsafeBufferPointer(rebasing: signature.dropLast()), bits: bits)
        else { return nil }
        return (code, key)
    }
}
