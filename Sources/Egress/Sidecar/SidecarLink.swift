import NetworkPolicy

extension SidecarConfiguration.Inbound {
    /// The ruleset lets in what it takes for neighbours. Neighbour discovery, which goes to them, too, is held to the
    /// real ones by `SidecarRuleset`.
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
