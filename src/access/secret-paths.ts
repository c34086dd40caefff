/** The agent's own: tokens, profiles and decisions, logs and the record. */
export const OWN: readonly string[] = ['/etc/agent3', '/var/log/agent3'];

/** Users and passwords, with the temporary files of passwd(1) and PAM. */
const USERS = `
  /etc/shadow* /etc/gshadow* /etc/shadow /etc/shadow+ /etc/nshadow /etc/gshadow /etc/gshadow+ /etc/ngshadow
  /etc/security/opasswd /etc/tcb /etc/sudoers /etc/sudoers.d /etc/doas.conf /var/lib/opiekeys /etc/yubico
  /etc/u2f_mappings /etc/users.oath /etc/samba/smbpasswd /etc/samba/credentials* /etc/smbcredentials* /var/lib/sss/db
  /var/lib/sss/secrets /var/lib/extrausers/shadow`;

/** Keys of this machine: TLS, SSH, Kerberos, disks, secure boot. */
const KEYS = `
  /etc/ssl/private /etc/pki/tls/private /etc/pki/private /etc/pki/nssdb /etc/ssh/ssh_host_*_key /etc/ssh/ca
  /etc/letsencrypt /etc/acme /etc/acme.sh /etc/dehydrated /etc/lego /etc/step-ca /etc/step /etc/easy-rsa
  /etc/krb5.keytab /etc/krb5kdc /etc/luks /etc/cryptsetup-keys.d /etc/keys /etc/zfs/keys /var/lib/shim-signed/mok
  /var/lib/dkms/mok.key /var/lib/acme /var/lib/lego /var/lib/dehydrated /var/lib/step-ca /var/lib/krb5kdc
  /var/lib/sbctl /var/lib/swtpm-localca /boot/initrd* /boot/initramfs* /initrd*`;

/** Credentials of systemd, its random seed, and memory that was written to the disk. */
const SYSTEM = `
  /etc/credstore /etc/credstore.encrypted /var/lib/systemd/credential.secret /var/lib/systemd/random-seed
  /var/lib/systemd/coredump /var/lib/apport/coredump /var/crash /var/lib/kdump /var/lib/systemd/pstore /swapfile
  /swap.img /var/swap /var/swapfile`;

/** Networks: VPN, Wi-Fi, PPP, SNMP, name servers. */
const NETWORKS = `
  /etc/wireguard /etc/amnezia /etc/openvpn /etc/openconnect /etc/vpnc /etc/ipsec.secrets /etc/ipsec.*.secrets
  /etc/strongswan.d /etc/xl2tpd /etc/racoon /etc/tinc /etc/nebula /etc/fastd /etc/zerotier-one /etc/stunnel
  /etc/NetworkManager/system-connections /etc/wpa_supplicant /etc/iwd /etc/hostapd /etc/ppp/chap-secrets
  /etc/ppp/pap-secrets /etc/ppp/peers /etc/bind/*.key /etc/bind/keys /etc/unbound/*.key /etc/ddclient.conf
  /etc/inadyn.conf /etc/chrony/chrony.keys /etc/chrony.keys /etc/ntp/keys /etc/freeradius /etc/raddb /etc/cloudflared
  /etc/headscale /var/lib/iwd /var/lib/NetworkManager/secret_key /var/lib/tailscale /var/lib/headscale
  /var/lib/zerotier-one /var/lib/netbird /var/lib/tor /var/lib/i2pd /var/lib/snmp /var/lib/strongswan
  /etc/swanctl/private /etc/swanctl/conf.d /etc/ipsec.d/private /etc/bind/rndc.key /etc/nsd/*.key /etc/nsd/*.pem
  /etc/powerdns/pdns.conf /etc/snmp/snmpd.conf /var/lib/bind/*.key /var/lib/bind/*.private`;

/** Files over the network, directories of users, mail. */
const DIRECTORIES = `
  /etc/davfs2/secrets /etc/ceph/*.keyring /etc/libvirt/secrets /etc/ldap.secret /etc/ldap/slapd.d /etc/pam_ldap.secret
  /etc/libnss-ldap.secret /etc/openldap/slapd.d /etc/pve/priv /etc/crowdsec/*credentials* /etc/nslcd.conf /etc/msmtprc /etc/esmtprc /etc/ssmtp /etc/nullmailer/remotes
  /etc/postfix/*passw* /etc/postfix/ssl /etc/dovecot/private /etc/dovecot/users /etc/dovecot/passwd* /etc/dkimkeys
  /etc/opendkim/keys /etc/mail/authinfo* /etc/fetchmailrc /etc/mailman3 /etc/sympa /etc/proftpd/*passw*
  /etc/vsftpd/*passw* /etc/ejabberd /etc/prosody /etc/matrix-synapse /etc/dendrite /etc/asterisk /etc/freeswitch
  /etc/turnserver.conf /var/lib/ctdb /var/lib/ceph /var/lib/ldap /var/lib/slapd /var/lib/dirsrv /var/lib/ipa
  /var/lib/freeipa /var/lib/opendkim /var/lib/rspamd/dkim /var/lib/prosody /var/lib/ejabberd /var/lib/matrix-synapse
  /var/mail /var/spool/mail /var/spool/exim4 /etc/sssd/sssd.conf /etc/sssd/conf.d /etc/exim4/passwd.client
  /etc/exim4/passwd /etc/postfix/sasl_passwd* /etc/postfix/sasl /etc/rspamd/local.d/worker-controller.inc
  /var/lib/samba/private`;

/** Databases and queues: their settings with passwords, and what they hold. */
const DATABASES = `
  /etc/mysql/debian.cnf /etc/dbconfig-common /etc/pgbouncer /etc/pgpool2 /etc/redis /etc/valkey /etc/mongod.conf
  /etc/mongodb* /etc/couchdb /etc/clickhouse-server /etc/elasticsearch /etc/opensearch /etc/influxdb /etc/odbc.ini
  /etc/freetds /etc/proxysql* /var/lib/mysql /var/lib/mysql-files /var/lib/mysql-keyring /var/lib/postgresql/*/*
  /var/lib/pgsql /var/lib/redis /var/lib/valkey /var/lib/mongodb /var/lib/mongo /var/lib/couchdb /var/lib/cassandra
  /var/lib/clickhouse /var/lib/elasticsearch /var/lib/opensearch /var/lib/influxdb /var/lib/neo4j /var/lib/rabbitmq
  /var/lib/mosquitto /var/lib/kafka /var/lib/firebird /var/lib/etcd /var/lib/questdb /var/lib/victoria-metrics
  /var/lib/meilisearch /var/lib/typesense /var/lib/qdrant /var/lib/minio /etc/mosquitto/*passw* /etc/rabbitmq/*.config`;

/** Web servers, applications and monitoring. */
const SERVICES = `
  /etc/nginx/ssl /etc/nginx/*passw* /etc/nginx/.ht* /etc/apache2/ssl /etc/apache2/*passw* /etc/apache2/.ht*
  /etc/httpd/ssl /etc/caddy/*.key /etc/haproxy/certs /etc/haproxy/ssl /etc/traefik/acme* /etc/squid/*passw*
  /etc/tomcat*/tomcat-users.xml /etc/keycloak /etc/authelia /etc/grafana /etc/alertmanager /etc/prometheus/*passw*
  /etc/prometheus/web.yml /etc/telegraf /etc/datadog-agent /etc/newrelic-infra.yml /etc/zabbix /etc/icinga2
  /etc/icingaweb2 /etc/monit /etc/roundcube /etc/nextcloud /etc/wordpress /etc/gitea /etc/forgejo /etc/webmin
  /etc/cockpit/ws-certs.d /etc/cups/passwd.md5 /etc/cups/ssl /etc/backuppc /etc/borgmatic* /etc/restic* /etc/duplicity
  /etc/rclone* /etc/rsyncd.secrets /etc/burp /etc/bacula /etc/bareos /var/lib/caddy /var/lib/traefik /var/lib/grafana
  /var/lib/zabbix /var/lib/icinga2 /var/lib/keycloak /var/lib/authelia /var/lib/vaultwarden /var/lib/bitwarden
  /var/lib/gitea /var/lib/forgejo /var/lib/nextcloud /var/lib/home-assistant /var/lib/cockpit
  /var/lib/tomcat*/conf/tomcat-users.xml /var/lib/jenkins /var/lib/nexus /var/lib/artifactory
  /etc/phpmyadmin/config-db.php`;

/** Configuration management, build servers, clusters, containers, clouds. */
const CLUSTERS = `
  /etc/salt /etc/puppetlabs /etc/puppet /etc/chef /etc/cinc /etc/ansible/*vault* /etc/ansible/*passw* /etc/cfengine*
  /etc/rundeck /etc/vault.d /etc/vault /etc/openbao /etc/consul.d /etc/consul /etc/nomad.d /etc/boundary.d
  /etc/teleport* /etc/teleport.d /etc/jenkins /etc/buildkite-agent /etc/drone /etc/woodpecker /etc/concourse
  /etc/circleci /etc/gitlab/gitlab-secrets.json /etc/gitlab/gitlab.rb /etc/gitlab/ssl /etc/gitlab-runner
  /etc/github-runner* /etc/act_runner /etc/kubernetes /etc/rancher /etc/k0s /etc/k3s /etc/etcd* /etc/docker/certs.d
  /etc/docker/key.json /etc/docker/*.key /etc/containerd/certs.d /etc/boto.cfg /etc/s3cfg /etc/passwd-s3fs
  /etc/gcsfuse /etc/apt/auth.conf /etc/apt/auth.conf.d /etc/pip.conf /etc/npmrc /etc/pki/entitlement /var/lib/salt
  /var/lib/puppet /var/lib/awx /var/lib/rundeck /var/lib/vault /var/lib/openbao /var/lib/consul /var/lib/nomad
  /var/lib/teleport /var/lib/buildkite-agent /var/lib/cloud/instances /var/lib/cloud/seed /var/lib/waagent
  /var/lib/k0s /var/lib/kubelet /var/lib/kube-proxy /var/lib/microk8s /var/lib/docker /var/lib/containerd
  /var/lib/containers /var/lib/lxc /var/lib/lxd /var/lib/incus /var/lib/libvirt /var/lib/machines /var/lib/portables
  /var/lib/ubuntu-advantage/private /var/lib/rhsm /opt/gitlab/etc /var/opt/gitlab /opt/actions-runner/.credentials*
  /opt/puppetlabs/puppet/ssl /opt/splunk/etc /etc/cloud/cloud.cfg.d/*cred* /etc/containers/auth.json
  /var/lib/rancher/*/server /var/lib/rancher/*/agent ~/actions-runner/.credentials*`;

/** Copies of all that: backups, snapshots, jobs with passwords in them. */
const COPIES = `
  /var/backups /var/backup /backup /backups /.snapshots /home/.snapshots /var/lib/snapper /timeshift /.zfs /.fscrypt
  /home/.ecryptfs /home/.fscrypt /var/cache/debconf/passwords.dat /var/spool/cron /var/spool/at`;

/** Clouds and clusters, in a home. */
const HOME_CLOUDS = `
  ~/.aws ~/.azure ~/.oci ~/.aliyun ~/.boto ~/.s3cfg ~/.s3cmd ~/.passwd-s3fs ~/.minio ~/.config/gcloud ~/.gsutil
  ~/.config/doctl ~/.config/hcloud ~/.config/linode-cli ~/.config/scw ~/.config/vultr-cli ~/.vultr-cli.yaml
  ~/.config/exoscale ~/.config/openstack ~/.config/ibmcloud ~/.bluemix ~/.tccli ~/.tencentcloud ~/.upcloud*
  ~/.ovh.conf ~/.config/civo ~/.civo.json ~/.config/rclone ~/.rclone.conf ~/.config/sops ~/.config/age ~/.age
  ~/.config/fly ~/.cloudflared ~/.wrangler ~/.config/.wrangler ~/.config/netlify ~/.netlify ~/.vercel ~/.config/vercel
  ~/.local/share/com.vercel.cli ~/.config/heroku ~/.railway ~/.config/railway ~/.render ~/.supabase ~/.config/supabase
  ~/.config/planetscale ~/.firebase ~/.config/firebase ~/.amplify ~/.serverlessrc ~/.edgerc ~/.docker
  ~/.local/share/containers ~/.kube ~/.config/helm/registry ~/.config/helm/repositories.yaml ~/.helm ~/.k3d ~/.rancher
  ~/.config/argocd ~/.argocd ~/.config/lens ~/.config/k9s ~/.talos ~/.vault-token ~/.vault ~/.consul ~/.nomad ~/.tsh
  ~/.terraformrc ~/.config/terraform ~/.tofurc ~/.vault_pass* ~/.vault-pass* ~/.chef ~/.puppetlabs ~/.packer.d
  ~/.databrickscfg ~/.databricks ~/.snowsql ~/.snowflake ~/.config/snowflake ~/.dbt ~/.astro ~/.prefect ~/.dagster
  ~/.mc/config.json ~/.mc/config.json.old ~/.config/containers/auth.json ~/.fly/config.yml
  ~/.terraform.d/credentials.tfrc.json ~/.pulumi/credentials.json ~/.ansible/galaxy_token ~/.ansible/*vault*
  ~/.vagrant.d/insecure_private_key* ~/.vagrant.d/data ~/.minikube/certs ~/.minikube/profiles`;

/** Code and packages, in a home. */
const HOME_CODE = `
  ~/.config/git/credentials ~/.git-credentials ~/.git-credential-cache ~/.cache/git/credential ~/.config/gh
  ~/.config/glab-cli ~/.config/hub ~/.config/tea ~/.hgrc ~/.subversion/auth ~/.cvspass ~/.netrc ~/_netrc ~/.authinfo
  ~/.authinfo.gpg ~/.npmrc ~/.yarnrc ~/.yarnrc.yml ~/.pnpmrc ~/.bunfig.toml ~/.config/configstore ~/.pypirc
  ~/.config/pypoetry/auth.toml ~/.local/share/uv/credentials ~/.condarc ~/.continuum ~/.gem/credentials
  ~/.local/share/gem/credentials ~/.bundle/config ~/.cargo/credentials ~/.cargo/credentials.toml ~/.composer/auth.json
  ~/.config/composer/auth.json ~/.m2/settings.xml ~/.m2/settings-security.xml ~/.gradle/gradle.properties
  ~/.sbt/.credentials ~/.sbt/*/.credentials ~/.ivy2/.credentials ~/.lein/credentials* ~/.nuget/NuGet ~/.config/NuGet
  ~/.hex ~/.cabal/config ~/.stack/config.yaml ~/.config/stripe ~/.config/sentry ~/.sentryclirc ~/.config/circleci
  ~/.circleci ~/.travis ~/.config/buildkite ~/.config/act ~/.jenkins ~/.config/jira ~/.config/.jira
  ~/.config/twilio-cli ~/.twilio-cli ~/.ngrok2 ~/.config/ngrok ~/.config/localstack ~/.config/snyk ~/.sonar
  ~/.config/postman ~/.postman ~/.config/insomnia ~/.config/httpie ~/.httpie ~/.curlrc ~/.wgetrc ~/.config/op ~/.op
  ~/.config/doppler ~/.doppler ~/.infisical ~/.config/infisical ~/.config/exercism ~/.config/Code/User/globalStorage
  ~/.config/JetBrains ~/.local/share/JetBrains ~/.config/Cursor/User/globalStorage
  ~/.vscode-server/data/User/globalStorage ~/.config/pip/pip.conf ~/.pip/pip.conf ~/.config/uv/credentials`;

/** Assistants and models, in a home. */
const HOME_ASSISTANTS = `
  ~/.claude.json ~/.claude.json.backup* ~/.claude/.credentials.json ~/.claude/history.jsonl ~/.claude/projects ~/.config/claude
  ~/.config/Claude ~/.config/github-copilot ~/.copilot ~/.config/opencode ~/.local/share/opencode ~/.continue
  ~/.aider* ~/.config/goose ~/.openai ~/.config/openai ~/.config/io.datasette.llm ~/.config/shell_gpt ~/.config/fabric
  ~/.ollama/id_ed25519 ~/.cache/huggingface/token ~/.cache/huggingface/stored_tokens ~/.config/huggingface ~/.kaggle
  ~/.config/kaggle ~/.config/wandb ~/.cometml* ~/.config/replicate ~/.modal.toml ~/.huggingface/token
  ~/.codex/auth.json ~/.codex/history.jsonl ~/.codex/sessions ~/.gemini/oauth_creds.json
  ~/.gemini/google_accounts.json`;

/** Keys, passwords and wallets, in a home. */
const HOME_KEYS = `
  ~/.ssh ~/.putty ~/.config/putty ~/.gnupg ~/.gnome2/keyrings ~/.local/share/keyrings ~/.local/share/kwalletd
  ~/.kde/share/apps/kwallet ~/.kde4/share/apps/kwallet ~/.password-store ~/.local/share/password-store
  ~/.config/Bitwarden* ~/.config/1Password ~/.config/keepassxc ~/.keepass ~/.config/KeePass ~/*.kdb ~/*.kdbx
  ~/.lastpass ~/.config/lpass ~/.local/share/lpass ~/.config/rbw ~/.local/share/rbw ~/.gopass ~/.config/gopass
  ~/.local/share/gopass ~/.config/keybase ~/.config/Yubico ~/.yubico ~/.google_authenticator ~/.config/authy* ~/.step
  ~/.pki ~/.cert ~/.certs ~/.local/share/pki ~/.caff ~/.acme.sh ~/.lego ~/.nyx ~/.ecryptfs ~/.fscrypt ~/.Private
  ~/.vaults ~/.local/share/plasma-vault ~/.k5login ~/.bitcoin ~/.ethereum ~/.electrum ~/.monero ~/.litecoin
  ~/.config/solana ~/.config/sui ~/.foundry/keystores ~/.android/adbkey ~/.android/*.keystore ~/.keystore ~/*.jks
  ~/*.p12 ~/*.pfx ~/*.ovpn ~/*.key ~/*.ppk`;

/** Databases, files over the network, mail and messages, in a home. */
const HOME_DATA = `
  ~/.pgpass ~/.pg_service.conf ~/.my.cnf ~/.my.login.cnf ~/.mylogin.cnf ~/.mysql ~/.mysqlsh ~/.mongorc.js ~/.mongodb
  ~/.dbshell ~/.rediscli* ~/.config/redis ~/.cassandra ~/.cqlshrc ~/.influxdbv2 ~/.clickhouse-client ~/.config/pgcli
  ~/.config/mycli ~/.myclirc ~/.odbc.ini ~/.sqlcl ~/.dbeaver* ~/.local/share/DBeaverData ~/.local/share/dbeaver*
  ~/.config/beekeeper-studio ~/.smbcredentials ~/.cifs ~/.smb ~/.davfs2 ~/.borg* ~/.config/borgmatic ~/.config/restic
  ~/.restic* ~/.resticpass* ~/.duplicacy ~/.config/duplicity ~/.config/syncthing ~/.local/state/syncthing
  ~/.config/filezilla ~/.filezilla ~/.config/lftp ~/.lftp ~/.local/share/lftp ~/.ncftp ~/.msmtprc ~/.config/msmtp
  ~/.esmtprc ~/.fetchmailrc ~/.getmail ~/.config/getmail ~/.mbsyncrc ~/.config/isyncrc ~/.offlineimaprc
  ~/.config/offlineimap ~/.mutt ~/.muttrc ~/.config/mutt ~/.config/neomutt ~/.config/aerc ~/.config/himalaya
  ~/.procmailrc ~/.pinerc ~/.alpine* ~/.thunderbird ~/.config/evolution ~/.local/share/evolution ~/mbox ~/.irssi
  ~/.weechat ~/.config/weechat ~/.znc ~/.purple ~/.config/Slack ~/.config/slack ~/.slack ~/.config/discord
  ~/.config/Signal ~/.local/share/signal-cli ~/.config/Element ~/.config/TelegramDesktop
  ~/.local/share/TelegramDesktop ~/.rustdesk ~/.config/rustdesk ~/.anydesk ~/.config/remmina ~/.local/share/remmina
  ~/.config/freerdp ~/.config/tigervnc ~/.Xauthority ~/.config/borg/keys ~/.config/borg/security ~/.vnc/passwd`;

/** Browsers, in a home: cookies are as good as passwords. */
const HOME_BROWSERS = `
  ~/.mozilla ~/.config/mozilla ~/.config/chromium ~/.config/BraveSoftware ~/.config/vivaldi ~/.config/opera
  ~/.config/epiphany ~/.local/share/epiphany ~/.librewolf ~/.config/librewolf ~/.waterfox ~/.tor-browser
  ~/.local/share/torbrowser ~/.config/puppeteer ~/snap/firefox ~/snap/chromium ~/.config/google-chrome
  ~/.config/google-chrome-* ~/.config/microsoft-edge ~/.config/microsoft-edge-*`;

/** Histories, in a home, which may have mistyped passwords. The most common by name, for a home that may not be listed. */
const HOME_HISTORIES = `
  ~/.*_history ~/.bash_history ~/.zsh_history ~/.sh_history ~/.ash_history ~/.python_history ~/.mysql_history
  ~/.psql_history ~/.sqlite_history ~/.rediscli_history ~/.node_repl_history ~/.*_history-* ~/.histfile ~/.zhistory
  ~/.local/share/fish/fish_history ~/.local/share/zsh/history ~/.local/state/*history ~/.local/share/atuin
  ~/.bash_sessions ~/.zsh_sessions ~/.python-history ~/.pythonhist ~/.irb-history ~/.pry_history ~/.irb_history
  ~/.config/nushell/history.txt ~/.config/nushell/history.sqlite3 ~/.erlang.cookie
  ~/.lesshst ~/.viminfo ~/.vim/viminfo ~/.local/state/nvim/shada ~/.local/share/nvim/shada ~/.local/share/mc/history
  ~/.local/share/Trash ~/.history`;

/**
 * Secrets of a server, which a sandbox hides: `~/` is every home, `*` a part of a name. Each existing one costs a mount
 * for every command; a missing one costs almost nothing. The list has only what is useless to a reader as a whole.
 * Settings that may have a password among other things are protected by their modes alone.
 *
 * Collected from the programs' manuals, and from these lists (November 2026): firejail `etc/inc/disable-common.inc`,
 * `disable-passwdmgr.inc` and `disable-programs.inc`; AppArmor `abstractions/private-files-strict`; PEASS-ng
 * `linPEAS/builder/linpeas_parts` (interesting files); for the programs whose tokens they know, gitleaks and trufflehog.
 */
export const SECRETS: readonly string[] = [
  ...OWN,
  ...[USERS, KEYS, SYSTEM, NETWORKS, DIRECTORIES, DATABASES, SERVICES, CLUSTERS, COPIES].flatMap(wordsOf),
  ...[HOME_CLOUDS, HOME_CODE, HOME_ASSISTANTS, HOME_KEYS, HOME_DATA, HOME_BROWSERS, HOME_HISTORIES].flatMap(wordsOf),
];

function wordsOf(text: string): string[] {
  return text.trim().split(/\s+/);
}
