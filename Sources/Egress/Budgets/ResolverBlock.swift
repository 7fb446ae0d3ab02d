import JSON
import NetworkPolicy
import System

/// Known public resolvers. With DNS over HTTPS, which looks like any web traffic, they would bypass the filter.
package struct KnownResolvers: Hashable, Sendable {
    package var targets: [Target]

    package static let none = KnownResolvers(targets: [])

    private struct Document: Decodable {
        var description: String
        var names: [String]
        var addresses: [String]
    }

    /// Reads `resolvers/known.json` of a folder of policies; empty if there is none.
    /// - Throws: `EgressError.invalidPolicy` if the file, or one of its targets, is invalid.
    package static func load(folder: String) throws(EgressError) -> KnownResolvers {
        let path = folder + "/resolvers/known.json"
        guard let data = try? File.read(path) else { return .none }
        guard let document: Document = try? JSONValue(data).decode() else {
            throw .invalidPolicy("\(path): a list of resolvers has description, names and addresses")
        }
        do throws(PolicyError) {
            var targets: [Target] = []
            for text in document.names + document.addresses { targets.append(try Target(text)) }
            return KnownResolvers(targets: targets)
        } catch {
            throw .invalidPolicy("\(path): \(error)")
        }
    }
}

/// Which access to other resolvers is blocked, whatever the policy says.
package struct ResolverBlock: Hashable, Sendable {
    package enum OverHTTPS: Hashable, Sendable {
        case open
        /// Port 443 of these addresses, and these names.
        case targets([Target])
        /// Port 443 of every address.
        case everything
    }

    /// Port 853, of TCP (RFC 7858) and UDP (RFC 9250), of every address.
    package var overTLS = false
    package var overHTTPS = OverHTTPS.open

    package init() {}

    /// The rules to put in front of all others.
    var rules: [Rule] {
        var rules: [Rule] = []
        if overTLS { rules.append(Self.deny(.anyAddress, port: 853)) }
        switch overHTTPS {
        case .open: break
        case .everything: rules.append(Self.deny(.anyAddress, port: 443))
        case .targets(let targets):
            rules += targets.map { target in
                guard case .address = target else { return Rule(action: .deny, target: target) }
                return Self.deny(target, port: 443)
            }
        }
        return rules
    }

    private static func deny(_ target: Target, port: UInt16) -> Rule {
        Rule(action: .deny, target: target, scope: try! TrafficScope(ports: [port...port]))
    }
}
