#!/bin/sh
# Brings back the agent that was here before Agent3, as it was set up. Run it as root: sh @PATH@
# Agent3 goes; its settings, sessions and logs stay until: agent3 uninstall --purge
set -e
if dpkg -s agent3 2>/dev/null | grep -q '^Status: .* installed$'; then
    apt-get -y remove agent3
elif command -v agent3 > /dev/null; then
    agent3 uninstall
fi
@FILES@
@CRON@
systemctl daemon-reload
systemctl enable --now @UNIT@
