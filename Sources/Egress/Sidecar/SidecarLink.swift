import Addresses
import NetworkPolicy

extension SidecarConfiguration.Inbound {
    /// Adds the hosts that may open connections to the neighbours, which the ruleset accepts. `SidecarRuleset`
    /// restricts neighbour discovery to the real neighbours.
    func widening(_ surroundings: LinkSurroundings) -> LinkSurroundings {
        var wide = surroundings
        switch self {
        case .link: break
        case .any: wide.neighbours += [CIDRBlock("0.0.0.0/0")!, CIDRBlock("::/0")!]
        case .blocks(let blocks): wide.neighbours += blocks
        }
        return wide
    }
}
