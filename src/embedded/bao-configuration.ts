import { basename } from 'node:path';
import type { OpenBaoFiles } from './bao-files.ts';

export type BaoConfiguration = {
  readonly files: OpenBaoFiles;
  readonly address: string;
  readonly listen: string;
  readonly clusterListen: string;
  readonly maxRequestDurationSeconds: number;
  readonly tls?: { readonly certFile: string; readonly keyFile: string } | undefined;
};

/** The administrator's user name and policy, and the mount where they log in. */
export const ADMINISTRATOR = 'administrator';

/** Everything: who may write policies may give themselves the rest anyway. */
const ADMINISTRATOR_POLICY = `path "*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list", "scan", "sudo"]
}`;

/**
 * The server's configuration: one raft node that unseals itself with a key in a file, writes every
 * request to an audit file, and at its first start makes an administrator who logs in with a
 * password; the root token of that start is revoked by OpenBao and was never shown.
 */
export function baoConfiguration(wanted: BaoConfiguration): string {
  const { files } = wanted;
  return `storage "raft" {
  path    = ${quoted(files.raft)}
  node_id = "embedded"
  # The only node need not wait long for others to stand for election.
  performance_multiplier = 1
}

listener "tcp" {
  address              = ${quoted(wanted.listen)}
  cluster_address      = ${quoted(wanted.clusterListen)}
  max_request_duration = "${wanted.maxRequestDurationSeconds}s"
${tlsLines(wanted.tls)}
}

api_addr     = ${quoted(wanted.address)}
cluster_addr = ${quoted(`https://${wanted.clusterListen}`)}
ui           = false

seal "static" {
  current_key_id = "embedded"
  current_key    = ${quoted(`file://${files.sealKey}`)}
}

audit "file" "main" {
  options {
    # OpenBao refuses to start when this differs from the first start's, so it must not change when
    # the folder moves: it is below the working folder, which is the server's own.
    file_path = ${quoted(basename(files.auditLog))}
  }
}

${initialization(files)}`;
}

function tlsLines(tls: BaoConfiguration['tls']): string {
  return tls === undefined
    ? '  tls_disable          = true'
    : `  tls_cert_file        = ${quoted(tls.certFile)}\n  tls_key_file         = ${quoted(tls.keyFile)}`;
}

function initialization(files: OpenBaoFiles): string {
  return `initialize "administrator" {
  request "policy" {
    operation = "update"
    path      = "sys/policies/acl/${ADMINISTRATOR}"
    data      = { policy = ${quoted(ADMINISTRATOR_POLICY)} }
  }
  request "method" {
    operation = "update"
    path      = "sys/auth/userpass"
    data      = { type = "userpass" }
  }
  request "user" {
    operation = "update"
    path      = "auth/userpass/users/${ADMINISTRATOR}"
    data = {
      password = {
        eval_type   = "string"
        eval_source = "file"
        path        = ${quoted(files.adminPassword)}
      }
      token_policies = ["${ADMINISTRATOR}"]
      token_ttl      = "1h"
    }
  }
}
`;
}

/** HCL's strings are JSON's, but for the start of a template. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll('${', '$${');
}
