import Addresses
import Runtimes

/// Which ports a create wants to have published, and for whom: our extension (docs/networking.md#published-ports).
enum PortsRequest {
    static let publish = "ports.publish", allow = "ports.allow", deny = "ports.deny"
    static let extensions = [publish, allow, deny]

    /// The most ports of one sandbox.
    static let maxPorts = 16

    /// - Returns: nil if none is wanted.
    static func read(
        _ extensions: [String: String], _ capabilities: RuntimeCapabilities
    ) throws(APIError) -> PortRequest? {
        guard let list = extensions[publish] else {
            for name in [allow, deny] where extensions[name] != nil {
                throw .parameter("\(key(name)) applies to \(key(publish)), which is missing")
            }
            return nil
        }
        guard capabilities.publishedPorts else {
            throw .parameter("\(key(publish)): this server publishes no ports ([local.ports]); the gateway reaches all")
        }
        var request = PortRequest(ports: try ports(list))
        if extensions[allow] != nil || extensions[deny] != nil {
            request.sources = SourceList(
                allow: try blocks(extensions, allow) ?? CIDRBlock.everything, deny: try blocks(extensions, deny) ?? [])
        }
        return request
    }

    /// With those that are published of every sandbox.
    static func adding(_ always: [UInt16], to request: PortRequest?) -> PortRequest? {
        guard !always.isEmpty else { return request }
        var request = request ?? PortRequest(ports: [])
        request.ports += always.filter { !request.ports.contains($0) }
        return request
    }

    private static func ports(_ list: String) throws(APIError) -> [UInt16] {
        var ports: [UInt16] = []
        for word in words(list) {
            guard let port = UInt16(word), port > 0, word.utf8.first != UInt8(ascii: "+") else {
                throw .parameter("\(key(publish)): '\(word.prefix(40))' is not a TCP port: use numbers from 1 to 65535")
            }
            guard port != RouteTable.policyPort else {
                throw .parameter("\(key(publish)): \(port) is the policy API's, which is not in the sandbox")
            }
            guard !ports.contains(port) else { throw .parameter("\(key(publish)): \(port) is named twice") }
            ports.append(port)
        }
        guard (1...maxPorts).contains(ports.count) else {
            throw .parameter("\(key(publish)): name 1 to \(maxPorts) ports, as in \"8080, 3000\"")
        }
        return ports
    }

    private static func blocks(_ extensions: [String: String], _ name: String) throws(APIError) -> [CIDRBlock]? {
        guard let list = extensions[name] else { return nil }
        var blocks: [CIDRBlock] = []
        for word in words(list) {
            if let (address, network) = CIDRBlock.around(word) {
                throw .parameter("\(key(name)): \(address) is one address in \(network): write the one or the other")
            }
            guard let block = CIDRBlock(word), !block.isMapped else {
                throw .parameter("\(key(name)): '\(word.prefix(60))' is not an address block such as 192.0.2.0/24")
            }
            blocks.append(block)
        }
        guard (1...SourceList.maxBlocks).contains(blocks.count) else {
            throw .parameter("\(key(name)): name 1 to \(SourceList.maxBlocks) address blocks, with commas between them")
        }
        return blocks
    }

    /// What commas separate, without the spaces around.
    private static func words(_ list: String) -> [String] {
        list.split(separator: ",", maxSplits: 256, omittingEmptySubsequences: false).map { word in
            String(word.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
    }

    private static func key(_ name: String) -> String { "extensions[\"\(name)\"]" }
}
