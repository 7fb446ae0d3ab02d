/// Where clouds hand out credentials and other secrets of a machine, beside the link-local addresses.
public enum MetadataService {
    public static let blocks: [CIDRBlock] = [
        // Amazon: the instance's, and by other addresses of the block its pods' and containers' credentials, time and DNS.
        "fd00:ec2::/32",
        "fd20:ce::254",  // Google
        "fd00:c1::a9fe:a9fe",  // Oracle
        "fd00:42::42",  // Scaleway
        "100.100.100.200",  // Alibaba
        "168.63.129.16",  // Azure
    ].map { CIDRBlock($0)! }
}
