import System

/// A request's target as the log shows it: values in the query that may be secrets are left out.
enum LoggedTarget {
    private static let secret = [
        "token", "password", "passwd", "secret", "key", "auth", "signature", "credential", "code",
    ]
    private static let maxBytes = 2048

    static func masked(_ target: String) -> String {
        let text = target.utf8.count > maxBytes ? String(target.prefix(maxBytes)) + "…" : target
        guard let mark = text.firstIndex(of: "?") else { return text }
        let pairs = text[text.index(after: mark)...].split(separator: "&", omittingEmptySubsequences: false).map {
            pair in
            guard let sign = pair.firstIndex(of: "=") else { return String(pair) }
            // An encoded name could be any.
            let name = pair[..<sign].lowercased()
            let isSecret = name.contains("%" as Character) || secret.contains { name.holds($0) }
            return isSecret ? pair[...sign] + "****" : String(pair)
        }
        return text[...mark] + pairs.joined(separator: "&")
    }
}
