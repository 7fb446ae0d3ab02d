extension SidecarConfiguration {
    /// `nil` in the modes that do not check.
    var flowCheck: FlowCheckSettings? {
        mode == .checkedFlows ? FlowCheckSettings(uncheckedPorts: uncheckedPorts) : nil
    }
}
