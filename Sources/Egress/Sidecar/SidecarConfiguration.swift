import Addresses
import DNSFilter
import Egress
import FlowCheck
import Logging
import NetworkPolicy
import Spelling
import System

/// The settings of a sidecar, all from the environment (docs/egress-sidecar.md).
package struct SidecarConfiguration: Sendable {
    package enum Mode: String, Hashable, Sendable {
        /// Names are filtered; addresses are open.
        case names = "dns"
        /// Names are filtered, and only learned addresses and those of address rules are open.
        case namesAndAddresses = "dns+nft"
        /// As `dns+nft`, and connections to learned addresses must state an allowed name.
        case checkedFlows = "dns+nft+sni"
    }

    package var mode = Mode.namesAndAddresses
    /// In mode `dns+nft+sni`, ports of learned addresses that are not checked.
    package var uncheckedPorts: [UInt16] = []
    package var address = ListenAddress(port: 18080)
    /// `nil` if the API asks for none.
    package var token: String?
    /// Whether the API may be asked by loopback, with the token, which then passes through the sandbox.
    package private(set) var answersInside = false
    package var sandboxID = "sandbox"
    package var rules = Policy.denyAll
    package var policyFile: String?
    package var rulesFolder = "/var/egress/rules"
    /// Whether the folder has to be there: whoever names it has lists.
    package private(set) var needsRulesFolder = false
    package var dns = DNSConfiguration(upstreams: [])
    /// Whether Docker's resolver is used although it may forward queries through this filter.
    package private(set) var mayAskItself = false
    package var exemptNameservers: [IPAddress] = []
    package var internalZones: [DomainName] = []
    package var internalRanges = AnswerFilter.privateRanges
    /// `Int.max` for no limit.
    package var maxRules = 4096
    package var inbound = InboundAccess.any
    /// The presets that policies may name.
    package var presets = Presets.none
    package var logLevel = Logger.Level.info
    package var budgets = EgressBudgets()
    /// Whether the limit of connections is the default share of the machine's (`ConnectionShare`).
    package internal(set) var sharesConnections = true
    package var resolverBlock = ResolverBlock()
    package var outlets = Outlets()

    /// - Parameters:
    ///   - resolvConf: the text of /etc/resolv.conf, used if the environment names no upstream.
    ///   - knownResolvers: called only if a list names them, because reading them takes a millisecond.
    /// - Throws: the first variable with an invalid value.
    package init(
        environment: [String: String], resolvConf: String = "", presets: Presets = .none,
        knownResolvers: () throws(EgressError) -> KnownResolvers = { () throws(EgressError) in .none }
    ) throws(SidecarConfigurationError) {
        let values = SidecarVariables(environment)
        self.presets = presets
        mode = try values.read("MODE", "use dns, dns+nft or dns+nft+sni") { Mode(rawValue: $0) } ?? mode
        uncheckedPorts =
            try values.read("UNCHECKED_PORTS", "use ports with commas between them") { FlowCheckSettings.ports($0) }
            ?? uncheckedPorts
        address = try values.read("HTTP_ADDR", "use :PORT or ADDRESS:PORT") { ListenAddress($0) } ?? address
        token = try Self.token(values)
        answersInside =
            try values.read("LOOPBACK_API", "use on or off") { ["on": true, "off": false][$0.lowercased()] }
            ?? answersInside
        guard !answersInside || token != nil else {
            throw values.wrong("LOOPBACK_API", "without a token the sandbox could change its policy")
        }
        sandboxID =
            try values.read("SANDBOX_ID", "use 1 to 63 letters, digits, '.', '_' or '-'") {
                SandboxIdentifier.isValid($0) ? $0 : nil
            } ?? sandboxID
        maxRules =
            try values.read("MAX_RULES", "use a number; 0 for no limit") {
                Self.number($0).map { $0 == 0 ? .max : $0 }
            } ?? maxRules
        logLevel = try values.read("LOG_LEVEL", "use debug, info, warn or error", Self.level) ?? logLevel
        if let text = values["RULES"] {
            do throws(PolicyError) {
                rules = try Policy.decode(json: Array(text.utf8), presets: presets)
            } catch {
                throw values.wrong("RULES", "\(error)")
            }
            guard rules.ruleCount <= maxRules else {
                throw values.wrong("RULES", "\(EgressError.tooManyRules(count: rules.ruleCount, limit: maxRules))")
            }
        }
        policyFile = try values.read("POLICY_FILE", "use an absolute path") { $0.hasPrefix("/") ? $0 : nil }
        if let folder = try values.read("RULES_DIR", "use an absolute path", { $0.hasPrefix("/") ? $0 : nil }) {
            (rulesFolder, needsRulesFolder) = (folder, true)
        }
        exemptNameservers = try values.list("NAMESERVER_EXEMPT", "use addresses") { IPAddress($0) } ?? []
        let zones = try values.list("INTERNAL_ZONES", "use names") { try? DomainName($0) } ?? []
        internalZones = zones + DNSConfiguration.searchDomains(fromResolvConf: resolvConf) + [AnswerFilter.cluster]
        internalRanges =
            try values.list("INTERNAL_RANGES", "use address blocks") { CIDRBlock($0) } ?? AnswerFilter.privateRanges
        try readInbound(values)
        try readResolverBlock(values, knownResolvers)
        try readBudgets(values)
        try readOutlets(values, resolvConf)
        let known = DockerResolver(resolvConf: resolvConf)
        dns = try Self.dns(values, known: known.upstreams)
        mayAskItself = values["DNS_UPSTREAM"] == nil && known.mayAskItself
        try values.refuseUnread(but: ["PRESETS_DIR"])
    }

    /// A file that says none would leave the API open to everybody, so that is an error.
    private static func token(_ values: SidecarVariables) throws(SidecarConfigurationError) -> String? {
        let named = values["TOKEN"]
        guard let path = try values.read("TOKEN_FILE", "use an absolute path", { $0.hasPrefix("/") ? $0 : nil }) else {
            return named
        }
        guard named == nil else {
            throw values.wrong("TOKEN_FILE", "the token is in OPENSANDBOX_EGRESS_TOKEN, too: leave one of them out")
        }
        let content: [UInt8]
        do throws(SystemCallError) { content = try File.read(path, limit: 4096) } catch {
            throw values.wrong("TOKEN_FILE", "\(path): \(error)")
        }
        guard let token = SidecarVariables.trimmed(String(decoding: content, as: UTF8.self)) else {
            throw values.wrong("TOKEN_FILE", "\(path) is empty")
        }
        return token
    }

    private mutating func readInbound(_ values: SidecarVariables) throws(SidecarConfigurationError) {
        switch values["INBOUND"]?.lowercased() {
        case nil, "any": inbound = .any
        case "link": inbound = .link
        default:
            inbound = .blocks(try values.list("INBOUND", "use any, link, or address blocks") { CIDRBlock($0) } ?? [])
        }
    }

    static func number(_ text: String) -> Int? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
    }

    private static func level(_ text: String) -> Logger.Level? {
        switch text.lowercased() {
        case "warn": .warning
        case "fatal": .critical
        default: Logger.Level(rawValue: text.lowercased())
        }
    }
}

/// A variable with an invalid value. The value is not repeated, since it may be a secret.
package struct SidecarConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    package let variable: String
    package let reason: String

    package var description: String { "\(variable): \(reason)" }
}

/// The sidecar's environment variables. A blank one counts as absent.
struct SidecarVariables {
    static let prefix = "OPENSANDBOX_EGRESS_"
    private let environment: [String: String]
    private let asked = Names()

    /// The names that were read.
    private final class Names {
        var all: Set<String> = []
    }

    init(_ environment: [String: String]) { self.environment = environment }

    /// Call it after all settings have been read. A variable that was not read is misspelt, or a setting that this
    /// sidecar does not have.
    func refuseUnread(but others: [String]) throws(SidecarConfigurationError) {
        let known = asked.all.union(others.map { Self.prefix + $0 })
        guard let problem = Variables.problem(in: environment, known: known) else { return }
        throw SidecarConfigurationError(variable: problem.variable, reason: problem.reason)
    }

    subscript(name: String) -> String? {
        asked.all.insert(Self.prefix + name)
        return environment[Self.prefix + name].flatMap(Self.trimmed)
    }

    /// Without blanks around it; nil if nothing is left.
    static func trimmed(_ text: String) -> String? {
        guard let first = text.firstIndex(where: { !$0.isWhitespace }),
            let last = text.lastIndex(where: { !$0.isWhitespace })
        else { return nil }
        return String(text[first...last])
    }

    func wrong(_ name: String, _ reason: String) -> SidecarConfigurationError {
        SidecarConfigurationError(variable: Self.prefix + name, reason: reason)
    }

    func read<Value>(
        _ name: String, _ advice: String, _ parse: (String) -> Value?
    ) throws(SidecarConfigurationError) -> Value? {
        guard let text = self[name] else { return nil }
        guard let value = parse(text) else { throw wrong(name, advice) }
        return value
    }

    /// Comma-separated values.
    func list<Value>(
        _ name: String, _ advice: String, _ parse: (String) -> Value?
    ) throws(SidecarConfigurationError) -> [Value]? {
        try read(name, advice) { text in
            let parts = text.split(separator: ",").map { $0.filter { !$0.isWhitespace } }.filter { !$0.isEmpty }
            let values = parts.compactMap(parse)
            return values.count == parts.count && !values.isEmpty ? values : nil
        }
    }
}

extension SidecarConfiguration {
    /// `nil` in the modes that do not check.
    var flowCheck: FlowCheckSettings? {
        mode == .checkedFlows ? FlowCheckSettings(uncheckedPorts: uncheckedPorts) : nil
    }
}
