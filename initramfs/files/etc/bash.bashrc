# For interactive shells only.
case $- in *i*) ;; *) return ;; esac
if [ "$(id -u)" = 0 ]; then PS1='\h:\w# '; else PS1='\u@\h:\w\$ '; fi
shopt -s checkwinsize
HISTCONTROL=ignoredups
alias ls='ls --color=auto' ll='ls -l'
