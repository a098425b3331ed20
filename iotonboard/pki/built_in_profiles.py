"""The profiles that are there without a setting, each from the clause that asks for it.

In the form of the settings, so that ``profile show`` prints what can be copied and changed. ``mqtt`` is what devices
get where no profile is named: the program issues it without reading any of this.
"""

from __future__ import annotations

from typing import Any, Final

from iotonboard.model import MQTT_PROFILE

# Name -> what it is for, its source, and its table.
BUILT_IN: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    MQTT_PROFILE: (
        "MQTT clients of the broker",
        "RFC 5280 4.2.1.12, OASIS MQTT 5.0 section 5.4.8; a UUID is also a urn:uuid: (RFC 9562)",
        {"subject": ["common_name={device_id}"], "eku": ["clientAuth"]},
    ),
    "opcua": (
        "OPC UA applications, clients and servers",
        "OPC 10000-6 section 6.2.2 and OPC 10000-12 (Basic256Sha256)",
        {
            "subject": ["common_name={device_id}"],
            "san": ["uri:urn:{device_id}:{attr.vendor}:{attr.product}", "host:{attr.host}"],
            "key_usage": ["critical", "digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment"],
            "eku": ["serverAuth", "clientAuth"],
            "key_types": ["rsa-2048", "rsa-3072", "rsa-4096"],
            "ca": "servers",
        },
    ),
    "server": (
        "devices that are servers too: web pages, APIs",
        "RFC 9525 section 6; CA/Browser Forum BR 6.3.2 (browsers take at most 397 days)",
        {
            "subject": ["common_name={device_id}"],
            "san": ["host:{attr.host}"],
            "eku": ["serverAuth", "clientAuth"],
            "validity_days": 397,
            "ca": "servers",
        },
    ),
    "eap-tls": (
        "Wi-Fi and wired 802.1X",
        "RFC 5216 section 5.3, RFC 9190, IEEE 802.1X-2020",
        {"subject": ["common_name={device_id}"], "eku": ["clientAuth"]},
    ),
    "idevid": (
        "initial device identity",
        "IEEE 802.1AR-2018 section 8: serialNumber, hardwareModuleName (RFC 4108 section 5), no end",
        {
            "subject": ["serial_number={device_id}"],
            "san": ["hardware:{attr.hardware_type},{device_id}"],
            "not_after": "never",
            "key_types": ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"],
        },
    ),
    "wi-sun": (
        "nodes of a Wi-SUN FAN",
        "Wi-SUN FAN technical profile, section 6.5.1: empty subject, critical hardwareModuleName, a private purpose",
        {
            "subject": [],
            "san": ["critical", "hardware:{attr.hardware_type},{device_id}"],
            "key_usage": ["critical", "digitalSignature", "keyAgreement"],
            "eku": ["critical", "1.3.6.1.4.1.45605.1"],
            "not_after": "never",
            "key_types": ["ec-p256"],
        },
    ),
    "azure": (
        "Azure IoT Hub and its Device Provisioning Service",
        "Microsoft Learn, X.509 attestation: the commonName is the registration id",
        {
            "subject": ["common_name={device_id}"],
            "eku": ["clientAuth"],
            "device_id": "[A-Za-z0-9._-]{1,64}",
            "key_types": ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"],
        },
    ),
    "aws": (
        "AWS IoT Core",
        "AWS IoT developer guide, X.509 client certificates: the commonName is the thing's name, which has no dot",
        {
            "subject": ["common_name={device_id}"],
            "eku": ["clientAuth"],
            "device_id": "[A-Za-z0-9_-]{1,64}",
            "key_types": ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096"],
        },
    ),
    "matter-dac": (
        "Matter device attestation, for demonstrations only: real ones are below a PAA of the CSA",
        "Matter 1.3 core specification, section 6.2.2 (VID and PID as attributes of the subject)",
        {
            "subject": [
                "common_name={device_id}",
                "1.3.6.1.4.1.37244.2.1={attr.vendor_id}",
                "1.3.6.1.4.1.37244.2.2={attr.product_id}",
            ],
            "not_after": "never",
            "key_types": ["ec-p256"],
        },
    ),
}
