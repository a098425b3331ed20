/* Device sensor-0.1_A, certificate 0C0FFEE0000000000000000000000000000000FF.
   Call iotonboard_add_credentials() before connecting. */
#ifndef IOTONBOARD_TLS_CREDENTIALS_H
#define IOTONBOARD_TLS_CREDENTIALS_H

#include <zephyr/net/tls_credentials.h>

#define IOTONBOARD_DEVICE_ID "sensor-0.1_A"
#define IOTONBOARD_SEC_TAG 16842753

static const unsigned char iotonboard_ca_crt[] = {
#include "ca_crt.inc"
};

static const unsigned char iotonboard_device_crt[] = {
#include "device_crt.inc"
};

/* Returns 0, or the negative errno value of the first credential that was refused. */
static inline int iotonboard_add_credentials(void)
{
    int err = 0;
    if (err == 0) {
        err = tls_credential_add(IOTONBOARD_SEC_TAG, TLS_CREDENTIAL_CA_CERTIFICATE,
                                 iotonboard_ca_crt, sizeof(iotonboard_ca_crt));
    }
    if (err == 0) {
        err = tls_credential_add(IOTONBOARD_SEC_TAG, TLS_CREDENTIAL_SERVER_CERTIFICATE,
                                 iotonboard_device_crt, sizeof(iotonboard_device_crt));
    }
    return err;
}

#endif
