/// Addresses of cloud metadata services, which hand out a machine's credentials; those that are not link-local anyway.
public enum MetadataService {
    public static let blocks: [CIDRBlock] = [
        // Amazon: the instance metadata service; other addresses of the block serve pods' and containers' credentials,
        // time and DNS.
        "fd00:ec2::/32",
        "fd20:ce::254",  // Google
        "fd00:c1::a9fe:a9fe",  // Oracle
        "fd00:42::42",  // Scaleway
        "100.100.100.200",  // Alibaba
        "168.63.129.16",  // Azure
    ].map { CIDRBlock($0)! }
}
